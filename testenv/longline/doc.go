// Package longline is a line of a given length between two machines in network namespaces of their own: every packet,
// of whatever protocol, takes the same time from one to the other, as over an ocean.
//
//	near 198.51.100.20 ---- half the round trip, each way ---- far 203.0.113.40
//
// It owns both machines and the line. It promises that packets arrive in the order in which they were sent, none earlier
// than the line is long, and that it drops none while there is room for 8,192 of them; it has no limit of speed. It needs
// Linux, ip, and the right to make network namespaces and TUN devices.
package longline
