// Package nat is a small Internet in network namespaces: a cloud with a public address, and a site and a viewer, each
// behind a router that translates addresses or blocks as routers and firewalls of companies, homes and hotels do.
//
//	cloud 198.51.100.10 ---- core ---- 203.0.113.20 router ---- site   192.168.20.2
//	                           `------ 203.0.113.30 router ---- viewer 192.168.30.2
//
// It owns the namespaces, their links and the routers' rules. It promises that nothing of it is seen outside, that the two
// private networks do not reach each other, and that all of it goes with the process that made it, however that ends. Its
// tests prove first that each router behaves as its name says, and then that live view plays through each pair of them:
// the real cloud, the real agent, and a viewer that does what the portal does. It needs Linux, nft and ip.
package nat
