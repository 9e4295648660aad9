// Package embedded runs a nats-server in this process.
//
// It promises a real server: any nats-server configuration file works
// unmodified, and what the file does not say gets careful defaults: clients on
// loopback, JetStream off, no signal handlers, no log of its own. A server can
// be a leaf of a hub; a hub which is away is no error, it is tried again for
// ever.
//
// It leaves to others what travels over the connection, when to reload, and
// when to stop. Importing this package links the whole server, which is why
// only the program, its bench and the integration tests do.
package embedded
