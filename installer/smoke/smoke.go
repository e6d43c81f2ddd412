// Package smoke tries what is released where it will live: the Debian packages under a real systemd that is
// process 1 of a machine of its own (systemd-nspawn), and the Windows program under Wine, there as a service too.
//
// "make smoke" and "make wine" run it. It owns its machines, Wine's folder in the cache, and every process that
// it starts: they end with the test, however that ends. It never touches the services of the machine it runs on.
package smoke
