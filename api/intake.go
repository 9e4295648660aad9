package api

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"replicator/bus"
)

// Headers of replies to get, and of requests.
const (
	HeaderNode    = "Replicator-Node"
	HeaderOrigin  = "Replicator-Origin"
	HeaderSeq     = "Replicator-Seq"
	HeaderHLC     = "Replicator-Hlc"
	HeaderExpiry  = "Replicator-Expiry"
	HeaderType    = "Content-Type"       // of the value, if its writer gave one
	HeaderTimeout = "Replicator-Timeout" // how long the client waits, as 5s or 1500ms
)

// A request is one whole request whose reply subject may be answered.
type request struct {
	bucket string
	toAny  bool // asked of any node
	verb   string
	body   []byte
	reply  string
	header interface{ Get(key string) string }
}

// A reply is what a verb answers.
type reply struct {
	header nats.Header
	body   []byte
}

// A handler does one verb. A nil reply without an error was answered otherwise.
type handler func(ctx context.Context, r *request) (*reply, error)

// intake returns what NATS calls with each message for a verb: it never blocks
// on the node, and lets in no more than the service can work on.
func (s *Service) intake(handle handler) micro.Handler {
	return micro.HandlerFunc(func(m micro.Request) {
		r := &request{reply: m.Reply(), header: m.Headers()}
		if err := s.checkReply(m); err != nil {
			s.dropForeign(m, err)
			return
		}
		if err := s.take(m, r); err != nil {
			s.fail(r, err)
			return
		}
		if r.body == nil {
			return // more frames to come
		}
		s.admit(r, handle)
	})
}

// dropForeign tells nobody but the operator: an answer to such a subject is the
// very thing that must not happen.
func (s *Service) dropForeign(m micro.Request, err error) {
	s.counts.foreign.Add(1)
	s.log.Debug("request dropped", "subject", m.Subject(), "reply", clip(m.Reply()), "err", err)
}

// checkReply refuses reply subjects that could be somebody's live ones. Only a
// word about a running stream needs no reply.
func (s *Service) checkReply(m micro.Request) error {
	reply := m.Reply()
	if reply == "" {
		if strings.HasSuffix(m.Subject(), ".watch") || strings.HasSuffix(m.Subject(), ".sync") {
			return nil
		}
		return errors.New("no reply subject")
	}
	return checkReply(s.subjects, reply)
}

func checkReply(subjects bus.Subjects, reply string) error {
	if reply[0] == '$' {
		return errors.New("reply subject begins with $")
	}
	if strings.ContainsAny(reply, "*> \t\r\n") || strings.Contains(reply, "..") || reply[len(reply)-1] == '.' || reply[0] == '.' {
		return errors.New("reply subject is not one subject")
	}
	space := subjects.APIReply("")
	if subjects.Contains(reply) && (!strings.HasPrefix(reply, space) || len(reply) == len(space)) {
		return errors.New("reply subject inside the prefix")
	}
	return nil
}

// take fills r from one message, with the body once its last frame came.
func (s *Service) take(m micro.Request, r *request) error {
	bucket, node, verb, ok := s.subjects.ParseAPI(m.Subject())
	if !ok {
		return ErrBadBucket.With("%s", cmpErr(bus.ValidBucket(bucketToken(s.subjects, m.Subject()))))
	}
	r.bucket, r.verb, r.toAny = bucket, verb, node == "any"
	body, done, err := s.assembler.Add(m.Subject()+" "+r.reply, m.Data(), time.Now())
	if large, ok := errors.AsType[*bus.TooLargeError](err); ok {
		return ErrTooLarge.With("%s", large)
	}
	if errors.Is(err, bus.ErrAssemblerFull) {
		return ErrOverloaded.With("%s", err)
	}
	if err != nil {
		return ErrBadRequest.With("%s", err)
	}
	if !done && r.toAny {
		return ErrBadRequest.With("a request to any node has to fit one message")
	}
	if r.body = body; done && body == nil {
		r.body = []byte{} // whole, and empty
	}
	return nil
}

// bucketToken returns the token that stands where a bucket does.
func bucketToken(subjects bus.Subjects, subject string) string {
	rest := strings.TrimPrefix(subject, strings.TrimSuffix(subjects.APIReply(""), "apireply."))
	bucket, _, _ := strings.Cut(rest, ".")
	return bucket
}

func cmpErr(err error) error {
	if err == nil {
		return errors.New("not a subject of the data API")
	}
	return err
}

// admit works on r on a goroutine of its own, if there is room for it.
func (s *Service) admit(r *request, handle handler) {
	select {
	case s.slots <- struct{}{}:
	default:
		s.fail(r, ErrOverloaded)
		return
	}
	size := int64(len(r.body))
	if held := s.held.Add(size); held > s.opts.RequestBytes && held > size {
		s.release(size)
		s.fail(r, ErrOverloaded)
		return
	}
	started := s.run(func() {
		defer s.release(size)
		s.serve(r, handle)
	})
	if !started {
		s.release(size)
		s.fail(r, ErrStopping)
	}
}

func (s *Service) release(size int64) {
	s.held.Add(-size)
	<-s.slots
}

func (s *Service) serve(r *request, handle handler) {
	ctx, cancel := context.WithTimeout(s.ctx, s.timeout(r))
	defer cancel()
	answer, err := handle(ctx, r)
	switch {
	case err != nil:
		s.fail(r, err)
	case answer != nil:
		s.answer(r.reply, answer.header, answer.body)
	}
}

// timeout is how long the client waits, within the service's own limit.
func (s *Service) timeout(r *request) time.Duration {
	d, err := time.ParseDuration(r.header.Get(HeaderTimeout))
	if err != nil || d <= 0 || d > s.opts.Timeout {
		return s.opts.Timeout
	}
	return d
}

func (s *Service) fail(r *request, err error) {
	e := AsError(err)
	if e.Code == ErrOverloaded.Code {
		s.counts.overloaded.Add(1)
	} else {
		s.counts.errors.Add(1)
	}
	if e.Code == ErrInternal.Code {
		s.log.Warn("request failed", "verb", r.verb, "bucket", r.bucket, "err", err)
	}
	if r.reply == "" {
		return
	}
	header, body := e.message()
	s.answer(r.reply, header, body)
}

// answer publishes a reply, in frames if it is large.
func (s *Service) answer(to string, header nats.Header, body []byte) {
	for frame := range bus.Frames(body, s.bodyID.Add(1), frameLimit(s.nc, s.opts.FrameLimit())) {
		if err := s.nc.PublishMsg(&nats.Msg{Subject: to, Header: header, Data: frame}); err != nil {
			s.log.Debug("reply not sent", "reply", to, "err", err)
			return
		}
	}
}

// frameLimit is the largest message that nc takes now, at most limit.
func frameLimit(nc *nats.Conn, limit int) int {
	if m := int(nc.MaxPayload()); m > 0 {
		limit = min(limit, m-headerRoom)
	}
	return max(limit, bus.MinFrame)
}
