package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/synadia-io/orbit.go/natscontext"
	"golang.org/x/net/proxy"

	"replicator/api"
)

const (
	defaultTimeout = 5 * time.Second
	maxPingsOut    = 2
)

// connection are the flags of the nats CLI, under its names.
type connection struct {
	Server         string        `short:"s" placeholder:"URL" env:"NATS_URL" help:"NATS server URLs, comma-separated. Default: the selected context, else nats://127.0.0.1:4222."`
	Context        string        `placeholder:"NAME" env:"NATS_CONTEXT" help:"A context of the nats CLI, or a file of one."`
	NoContext      bool          `help:"Leave the selected context alone."`
	User           string        `env:"NATS_USER" help:"User name, or a token."`
	Password       string        `env:"NATS_PASSWORD" help:"Password."`
	Token          string        `env:"NATS_TOKEN" help:"Token."`
	Creds          string        `placeholder:"FILE" env:"NATS_CREDS" help:"Credentials file."`
	Nkey           string        `placeholder:"FILE" env:"NATS_NKEY" help:"File with an NKEY seed."`
	JWT            string        `name:"jwt" env:"NATS_JWT" help:"User JWT, or a file of one; goes with --seed."`
	Seed           string        `env:"NATS_SEED" help:"NKEY seed of the JWT, or a file of one."`
	TLSCert        string        `name:"tlscert" placeholder:"FILE" env:"NATS_CERT" help:"Client certificate."`
	TLSKey         string        `name:"tlskey" placeholder:"FILE" env:"NATS_KEY" help:"Key of the client certificate."`
	TLSCA          string        `name:"tlsca" placeholder:"FILE" env:"NATS_CA" help:"Certificates of the authorities to trust."`
	TLSFirst       bool          `name:"tlsfirst" env:"NATS_TLSFIRST" help:"TLS handshake before anything else."`
	Timeout        time.Duration `env:"NATS_TIMEOUT" help:"How long to wait for a reply. Default: 5s; for wait and leaving, 1m."`
	SocksProxy     string        `placeholder:"URL" env:"NATS_SOCKS_PROXY" help:"SOCKS5 proxy."`
	InboxPrefix    string        `env:"NATS_INBOX_PREFIX" help:"Where replies come; replicator.apireply.NAME can be kept closed."`
	ConnectionName string        `env:"NATS_CONNECTION_NAME" help:"Name the NATS server lists the connection under."`
}

// outbound reports whether somebody said where to connect to, which a merely
// selected context does not.
func (c *connection) outbound() bool { return c.Server != "" || c.Context != "" }

// where names the server for people, without passwords.
func (c *connection) where() string {
	switch {
	case c.Server != "":
		return redact(c.Server)
	case c.Context != "":
		return "the server of context " + c.Context
	}
	return nats.DefaultURL
}

func redact(servers string) string {
	list := strings.Split(servers, ",")
	for i, text := range list {
		if u, err := url.Parse(strings.TrimSpace(text)); err == nil {
			list[i] = u.Redacted()
		}
	}
	return strings.Join(list, ",")
}

func (c *connection) timeout() time.Duration { return cmp.Or(c.Timeout, defaultTimeout) }

// open connects as the flags say. The context's settings come first, so that
// flags and opts beat them.
func (c *connection) open(opts []nats.Option) (*nats.Conn, error) {
	own, err := c.options()
	if err != nil {
		return nil, err
	}
	opts = append(own, opts...)
	if c.Context == "" && (c.Server != "" || c.NoContext) {
		nc, err := nats.Connect(cmp.Or(c.Server, nats.DefaultURL), opts...)
		return nc, c.placed(err)
	}
	nc, _, err := natscontext.Connect(c.Context, append(opts, c.useServer)...)
	if err != nil && strings.Contains(err.Error(), "context") && !errors.Is(err, context.DeadlineExceeded) {
		return nil, fmt.Errorf("%w; choose another with --context, or none with --no-context", err)
	}
	return nc, c.placed(err)
}

// placed says where to a connection failed, unless explain does so anyway.
func (c *connection) placed(err error) error {
	if err == nil || unreachable(err) || refused(err) {
		return err
	}
	return fmt.Errorf("connect to %s: %w", c.where(), err)
}

// useServer puts the flag over the context's URL, and the default under it.
func (c *connection) useServer(o *nats.Options) error {
	switch {
	case c.Server != "":
		o.Url, o.Servers = "", strings.Split(c.Server, ",")
	case len(o.Servers) == 0 || o.Servers[0] == "":
		o.Url, o.Servers = nats.DefaultURL, nil
	}
	return nil
}

func (c *connection) options() ([]nats.Option, error) {
	opts := []nats.Option{nats.Timeout(c.timeout())}
	auth, err := c.auth()
	if err != nil {
		return nil, err
	}
	opts = append(opts, auth...)
	if c.TLSCert != "" || c.TLSKey != "" {
		opts = append(opts, nats.ClientCert(c.TLSCert, c.TLSKey))
	}
	if c.TLSCA != "" {
		opts = append(opts, nats.RootCAs(c.TLSCA))
	}
	if c.TLSFirst {
		opts = append(opts, nats.TLSHandshakeFirst())
	}
	if c.SocksProxy != "" {
		opts = append(opts, nats.SetCustomDialer(socks{c.SocksProxy}))
	}
	if c.InboxPrefix != "" {
		opts = append(opts, nats.CustomInboxPrefix(c.InboxPrefix))
	}
	return opts, nil
}

// auth are the options that say who connects; they serve for the embedded
// server, too.
func (c *connection) auth() ([]nats.Option, error) {
	switch {
	case c.User != "" && c.Password == "":
		return []nats.Option{nats.Token(c.User)}, nil // as the nats CLI takes it
	case c.User != "":
		return []nats.Option{nats.UserInfo(c.User, c.Password)}, nil
	case c.Token != "":
		return []nats.Option{nats.Token(c.Token)}, nil
	case c.Creds != "":
		if _, err := os.Stat(c.Creds); err != nil {
			return nil, fmt.Errorf("--creds: %w", err)
		}
		return []nats.Option{nats.UserCredentials(c.Creds)}, nil
	case c.Nkey != "":
		opt, err := nats.NkeyOptionFromSeed(c.Nkey)
		if err != nil {
			return nil, fmt.Errorf("--nkey %s: %w", c.Nkey, err)
		}
		return []nats.Option{opt}, nil
	case c.JWT != "":
		if c.Seed == "" {
			return nil, usage(errors.New("--jwt goes with --seed"))
		}
		return []nats.Option{nats.UserJWTAndSeed(orFile(c.JWT), orFile(c.Seed))}, nil
	}
	return nil, nil
}

// orFile returns what is in the file of that name, if there is one.
func orFile(text string) string {
	if content, err := os.ReadFile(text); err == nil {
		return strings.TrimSpace(string(content))
	}
	return text
}

// socks dials through a SOCKS5 proxy.
type socks struct{ url string }

// Dial implements nats.CustomDialer.
func (s socks) Dial(network, address string) (net.Conn, error) {
	u, err := url.Parse(s.url)
	if err != nil {
		return nil, err
	}
	d, err := proxy.FromURL(u, proxy.Direct)
	if err != nil {
		return nil, err
	}
	return d.Dial(network, address)
}

// connect opens the connection of a client command.
func (a *app) connect() (*nats.Conn, error) {
	name := cmp.Or(a.flags.ConnectionName, "replicator client "+version())
	return a.flags.open([]nats.Option{
		nats.Name(name),
		nats.MaxPingsOutstanding(maxPingsOut),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // api reads the last one
	})
}

// client returns a client of node, empty for any, and what ends it.
func (a *app) client(node string) (*api.Client, func(), error) {
	nc, err := a.connect()
	if err != nil {
		return nil, nil, err
	}
	c, err := api.NewClient(nc, api.ClientOptions{Prefix: a.flags.Prefix, Node: node, Timeout: a.flags.timeout()})
	if err != nil {
		nc.Close()
		return nil, nil, usage(err)
	}
	return c, func() {
		_ = c.Close() // the connection goes, too
		nc.Close()
	}, nil
}

// bucketClient is client for work on one bucket, whose name is checked first.
func (a *app) bucketClient(bucket, node string) (*api.Client, func(), error) {
	if err := checkBucket(bucket); err != nil {
		return nil, nil, err
	}
	return a.client(node)
}
