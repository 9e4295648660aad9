package integration_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	library "replicator"
	"replicator/api"
	"replicator/embedded"
	"replicator/httpapi"
)

// A roadcase is one row of the contract. A key=value@2 stands for a row that the
// second write of the case has written, with a ~ if it ends; else want is the code
// of an error. Holds are the rows of the bucket afterwards, unless they are those from
// before.
type roadcase struct {
	name  string
	given []ask
	ask   ask
	want  string
	holds string
}

// nothing is what an empty bucket holds.
const nothing = "nothing"

// given are requests that are done before.
func given(asks ...ask) []ask { return asks }

var (
	binary  = "\x00\x01\x02\xff\xfe\r\n"
	longest = strings.Repeat("k", 4096)
	tooLong = longest + "k"
	century = time.Date(2100, 1, 2, 3, 4, 5, 678e6, time.UTC)
	past    = time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	fruit   = given(put("a/1", "x"), put("a/2", "y"), put("b/1", "z"), put("b/2", "w"), put("c", "v"))
)

// nobodys is a bucket that is not there, new one that each road makes: $ is its name.
const (
	nobodys   = "nobodys"
	newOne    = "new-$"
	badName   = "b!d"
	ownBucket = "road-$"
)

var roadcases = []roadcase{
	{"get of no key", nil, get("none"), "not_found", ""},
	{"get of text", given(put("k", "red")), get("k"), "k=red@1", ""},
	{"get of bytes", given(put("k", binary)), get("k"), "k=" + show(binary) + "@1", ""},
	{"get of a value that looks like a frame", given(put("k", "\x02frame")), get("k"), "k=" + show("\x02frame") + "@1", ""},
	{"get of an empty value", given(put("k", "")), get("k"), "k=@1", ""},
	{"get of an empty key", nil, get(""), "bad_key", ""},
	{"get of the longest key", given(put(longest, "v")), get(longest), show(longest) + "=v@1", ""},
	{"get of a key that is too long", nil, get(tooLong), "too_large", ""},
	{"get in no bucket", nil, get("k").in(nobodys), "no_bucket", ""},
	{"get in a bucket of a bad name", nil, get("k").in(badName), "bad_bucket", ""},
	{"get in the fleet's bucket", nil, get("k").in("_fleet"), "bad_bucket", ""},

	{"put of text", nil, put("k", "red"), "@1", "k=red@1"},
	{"put of bytes", nil, put("k", binary), "@1", "k=" + show(binary) + "@1"},
	{"put of an empty value", nil, put("k", ""), "@1", "k=@1"},
	{"put of a hyphen", nil, put("-k", "-"), "@1", "-k=-@1"},
	{"put over a row", given(put("k", "red")), put("k", "blue"), "@2", "k=blue@2"},
	{"put of the value that is there", given(put("k", "red")), put("k", "red"), "@2", "k=red@2"},
	{"key with slashes", nil, put("/a//b/../c/", "v"), "@1", "/a//b/../c/=v@1"},
	{"key of a dot", nil, put(".", "v"), "@1", ".=v@1"},
	{"key with spaces", nil, put(" a b ", "v"), "@1", show(" a b ") + "=v@1"},
	{"key with percents and marks", nil, put("100%25?x=1&y#z+", "v"), "@1", show("100%25?x=1&y#z+") + "=v@1"},
	{"key with a newline", nil, put("a\nb", "v"), "@1", show("a\nb") + "=v@1"},
	{"key with quotes", nil, put(`"a\b'`, "v"), "@1", show(`"a\b'`) + "=v@1"},
	{"key beyond ASCII", nil, put("ключ/钥匙", "v"), "@1", "ключ/钥匙=v@1"},
	{"key that is not UTF-8", nil, put("\xff\xfe", "v"), "@1", show("\xff\xfe") + "=v@1"},
	{"key with a zero", nil, put("a\x00b", "v"), "@1", show("a\x00b") + "=v@1"},
	{"key that looks like a frame", nil, put("\x02", "v"), "@1", show("\x02") + "=v@1"},
	{"longest key", nil, put(longest, "v"), "@1", show(longest) + "=v@1"},
	{"key that is too long", nil, put(tooLong, "v"), "too_large", ""},
	{"empty key", nil, put("", "v"), "bad_key", ""},
	{"value that is too large", nil, put("k", strings.Repeat("v", 16<<20+1)), "too_large", ""},
	{"put in no bucket", nil, put("k", "v").in(nobodys), "no_bucket", ""},
	{"put in a bucket of a bad name", nil, put("k", "v").in(badName).making(), "bad_bucket", ""},
	{"put in the fleet's bucket", nil, put("k", "v").in("_fleet"), "bad_bucket", ""},
	{"put that makes a bucket", nil, put("k", "v").in(newOne).making(), "@1", ""},

	{"create", nil, put("k", "v").ifAbsent(), "@1", "k=v@1"},
	{"create of what is there", given(put("k", "red")), put("k", "v").ifAbsent(), "exists", ""},
	{"create of what was deleted", given(put("k", "red"), del("k")), put("k", "v").ifAbsent(), "@3", "k=v@3"},
	{"create of what has expired", given(put("k", "red").lasting(time.Millisecond), gone()), put("k", "v").ifAbsent(), "@2", "k=v@2"},
	{"create in no bucket", nil, put("k", "v").ifAbsent().in(nobodys), "no_bucket", ""},
	{"update", given(put("k", "red")), put("k", "blue").ifAt(1), "@2", "k=blue@2"},
	{"update of an older revision", given(put("k", "red"), put("k", "blue")), put("k", "green").ifAt(1), "revision", ""},
	{"update of a revision to come", given(put("k", "red")), put("k", "green").ifAt(unwritten), "revision", ""},
	{"update of no row", given(put("other", "x")), put("k", "v").ifAt(1), "revision", ""},
	{"update of what was deleted", given(put("k", "x"), del("k")), put("k", "v").ifAt(1), "revision", ""},

	{"delete", given(put("k", "red"), put("l", "x")), del("k"), "@3", "l=x@2"},
	{"delete of no key", nil, del("none"), "not_found", ""},
	{"delete of what was deleted", given(put("k", "red"), del("k")), del("k"), "not_found", ""},
	{"delete of what has expired", given(put("k", "red").lasting(time.Millisecond), gone()), del("k"), "@2", ""},
	{"delete of an empty key", nil, del(""), "bad_key", ""},
	{"delete of a key that is too long", nil, del(tooLong), "too_large", ""},
	{"delete of a revision", given(put("k", "red")), del("k").ifAt(1), "@2", nothing},
	{"delete of an older revision", given(put("k", "red"), put("k", "blue")), del("k").ifAt(1), "revision", ""},
	{"delete of a revision of no row", given(put("other", "x")), del("k").ifAt(1), "revision", ""},
	{"delete in no bucket", nil, del("k").in(nobodys), "no_bucket", ""},

	{"get of a row that ends", given(put("k", "v").lasting(time.Hour)), get("k"), "k=v@1~", ""},
	{"put of a row that ends", nil, put("k", "v").lasting(time.Hour), "@1", "k=v@1~"},
	{"put of a row with its moment", nil, put("k", "v").until(century), "@1", "k=v@1~2100-01-02T03:04:05.678Z"},
	{"put that ends no more", given(put("k", "v").lasting(time.Hour)), put("k", "v"), "@2", "k=v@2"},
	{"create of a row that ends", nil, put("k", "v").lasting(time.Hour).ifAbsent(), "@1", "k=v@1~"},
	{"get of a row that has ended", given(put("k", "v").lasting(time.Millisecond), gone()), get("k"), "not_found", ""},
	{"list without a row that has ended", given(put("k", "v").lasting(time.Millisecond), gone(), put("l", "x")), list(), "l=x@2", ""},
	{"put of a time and a moment", nil, put("k", "v").lasting(time.Hour).until(century), "bad_request", ""},
	{"put of no time", nil, put("k", "v").lasting(-time.Hour), "bad_request", ""},
	{"put of a moment that is past", nil, put("k", "v").until(past), "bad_request", ""},
	{"create with a moment that is past", nil, put("k", "v").until(past).ifAbsent(), "bad_request", ""},

	{"several", given(put("a", "x"), put("b", "y").lasting(time.Hour)), mget("b", "none", "a"), "b=y@2~ a=x@1", ""},
	{"several, bytes", given(put("\xff", binary)), mget("\xff", "none"), show("\xff") + "=" + show(binary) + "@1", ""},
	{"several of an empty key", given(put("a", "x")), mget("a", ""), "bad_key", ""},
	{"several of a key that is too long", given(put("a", "x")), mget("a", tooLong), "too_large", ""},
	{"several in no bucket", nil, mget("a", "b").in(nobodys), "no_bucket", ""},

	{"list", fruit, list(), "a/1=x@1 a/2=y@2 b/1=z@3 b/2=w@4 c=v@5", ""},
	{"list of nothing", nil, list(), "", ""},
	{"list of bytes", given(put("\xff", binary)), list(), show("\xff") + "=" + show(binary) + "@1", ""},
	{"list by prefix", fruit, list().prefix("b/"), "b/1=z@3 b/2=w@4", ""},
	{"list by a prefix of bytes", given(put("\xff1", "x"), put("a", "y")), list().prefix("\xff"), show("\xff1") + "=x@1", ""},
	{"list of a range", fruit, list().from("a/2", "b/2"), "a/2=y@2 b/1=z@3", ""},
	{"list of a range that is none", fruit, list().from("b", "a"), "", ""},
	{"list with a limit", fruit, list().limit(2), "a/1=x@1 a/2=y@2", ""},
	{"list behind a key", fruit, list().behind("a/2").limit(2), "b/1=z@3 b/2=w@4", ""},
	{"list backwards", fruit, list().reverse().limit(2), "c=v@5 b/2=w@4", ""},
	{"list backwards behind a key", fruit, list().reverse().behind("b/1"), "a/2=y@2 a/1=x@1", ""},
	{"list of keys alone", fruit, list().prefix("a/").keysOnly(), "a/1 a/2", ""},
	{"list by pages", fruit, list().pages(2), "a/1=x@1 a/2=y@2 | b/1=z@3 b/2=w@4 | c=v@5", ""},
	{"list by pages that come out even", fruit, list().prefix("b/").pages(1), "b/1=z@3 | b/2=w@4", ""},
	{"list by pages backwards", fruit, list().reverse().keysOnly().pages(3), "c b/2 b/1 | a/2 a/1", ""},
	{"list with a limit below 0", fruit, list().limit(-1), "bad_request", ""},
	{"list in no bucket", nil, list().in(nobodys), "no_bucket", ""},
	{"list in a bucket of a bad name", nil, list().in(badName), "bad_bucket", ""},

	{"delete by prefix", fruit, delprefix("b/"), "2 deleted", "a/1=x@1 a/2=y@2 c=v@5"},
	{"delete by a prefix of nothing", fruit, delprefix("none/"), "0 deleted", ""},
	{"delete of all", fruit, delprefix(""), "5 deleted", nothing},
	{"delete by prefix in no bucket", nil, delprefix("b/").in(nobodys), "no_bucket", ""},

	{
		"batch", given(put("a", "x")),
		batch(put("b", "y"), put("c", binary).lasting(time.Hour), del("a"), del("none")),
		"3 written @2 @3 @4, 1 absent", "b=y@2 c=" + show(binary) + "@3~",
	},
	{"batch with conditions that hold", given(put("a", "x")), batch(put("a", "y").ifAt(1), put("b", "z").ifAbsent()), "2 written @2 @3", "a=y@2 b=z@3"},
	{"batch, one is there", given(put("b", "x")), batch(put("a", "y"), put("b", "z").ifAbsent()), "exists", ""},
	{"batch, one is older", given(put("b", "x"), put("b", "y")), batch(put("a", "y"), del("b").ifAt(1)), "revision", ""},
	{"batch, one key is empty", nil, batch(put("a", "y"), put("", "z")), "bad_key", ""},
	{"batch, one key is too long", nil, batch(put("a", "y"), put(tooLong, "z")), "too_large", ""},
	{"batch, one has ended", nil, batch(put("a", "y"), put("b", "z").until(past)), "bad_request", ""},
	{"batch in no bucket", nil, batch(put("a", "y")).in(nobodys), "no_bucket", ""},

	{"get after a write that was seen", given(put("k", "x"), put("k", "y")), get("k").seen(2), "k=y@2", ""},
	{"get after several", given(put("k", "x"), put("l", "y")), get("k").seen(1, 2), "k=x@1", ""},
	{"get after a write that was not", given(put("k", "x")), get("k").seen(unwritten), "behind", ""},
	{"get after what is no token", given(put("k", "x")), get("k").seenText("nonsense"), "bad_request", ""},
	{"several after a write that was not seen", given(put("k", "x")), mget("k", "l").seen(unwritten), "behind", ""},
	{"list after a write that was seen", given(put("k", "x")), list().seen(1), "k=x@1", ""},
	{"list after a write that was not", given(put("k", "x")), list().seen(unwritten), "behind", ""},
	{"reached", given(put("k", "x")), reached(1), "done", ""},
	{"not reached", given(put("k", "x")), reached(1, unwritten), "behind", ""},

	{
		"watch from the start", given(put("a", "x"), put("b", "y").lasting(time.Hour)),
		watchFrom().then(put("c", binary), del("a"), put("b", "z")),
		"a=x@1 b=y@2~ caught-up c=" + show(binary) + "@3 del:a@4 b=z@5", "b=z@5 c=" + show(binary) + "@3 end=@6",
	},
	{"watch of nothing", nil, watchFrom().then(put("\xff", "x")), "caught-up " + show("\xff") + "=x@1", "end=@2 " + show("\xff") + "=x@1"},
	{"watch on", given(put("a", "x"), mark(), put("b", "y"), del("a")), watchOn().then(put("c", "z")), "b=y@2 del:a@3 caught-up c=z@4", "b=y@2 c=z@4 end=@5"},
	{"watch without deletes", given(put("a", "x"), put("b", "y"), mark(), del("a")), watchOn().noDeletes().then(del("b"), put("c", "z")), "caught-up c=z@5", "c=z@5 end=@6"},
	{"watch without values", given(put("a", "x")), watchFrom().metaOnly().then(put("b", "y")), "a@1 caught-up b@2", "a=x@1 b=y@2 end=@3"},
	{"watch from the start and on", given(put("a", "x"), mark()), watchOn().fromStartToo(), "bad_request", ""},
	{"watch on from what is no token", nil, watchOn().token("nonsense"), "bad_request", ""},
	{"watch in no bucket", nil, watchFrom().in(nobodys), "no_bucket", ""},
	{"watch in a bucket of a bad name", nil, watchFrom().in(badName), "bad_bucket", ""},
}

// TestContractOnEveryRoad asks all of the table by each road, and looks by the next
// one at what is there then.
func TestContractOnEveryRoad(t *testing.T) {
	roads := openRoads(t)
	for i, r := range roads {
		next := roads[(i+1)%len(roads)]
		t.Run(r.name(), func(t *testing.T) {
			t.Parallel()
			for _, c := range roadcases {
				t.Run(c.name, func(t *testing.T) { c.try(t, roads[0], r, next) })
			}
		})
	}
}

func (c roadcase) try(t *testing.T, first, r, next road) {
	t.Helper()
	ctx := t.Context()
	place := func(a ask) ask {
		if a.bucket == "" {
			a.bucket = ownBucket
		}
		a.bucket = strings.ReplaceAll(a.bucket, "$", r.name())
		return a
	}
	s := &story{node: "a", first: first}
	if _, err := first.do(ctx, place(delprefix(""))); err != nil {
		t.Fatal(err)
	}
	for _, a := range c.given {
		must(t, s.happen(ctx, []ask{place(a)}))
	}
	before, err := s.tell(ctx, first, place(list()))
	must(t, err)
	got, err := s.tell(ctx, r, place(c.ask))
	switch {
	case errors.Is(err, errNoWay):
		t.Skip(err)
	case err != nil:
		t.Fatal(err)
	case got != c.want:
		t.Errorf("%s, want %s", got, c.want)
	}
	want := c.holds
	switch want {
	case "":
		want = before
	case nothing:
		want = ""
	}
	for _, reader := range []road{first, next} {
		if holds, err := s.tell(ctx, reader, place(list())); err != nil || holds != want {
			t.Errorf("%s finds %s afterwards, want %s; %v", reader.name(), holds, want, err)
		}
	}
}

// openRoads opens a node in this process, and every road to it.
func openRoads(t *testing.T) []road {
	t.Helper()
	server, err := embedded.Start(t.Context(), embedded.Options{Name: "a", Listen: "127.0.0.1:0", LameDuck: -1})
	must(t, err)
	t.Cleanup(func() { must(t, server.Shutdown(context.Background())) })
	nc, err := server.Connect(library.ConnectOptions("a", nil)...)
	must(t, err)
	t.Cleanup(nc.Close)
	n, err := library.Open(t.Context(), library.Config{Node: "a", Dir: t.TempDir(), Conn: nc})
	must(t, err)
	t.Cleanup(func() { must(t, n.Close()) })
	client, err := api.NewClient(nc, api.ClientOptions{})
	must(t, err)
	t.Cleanup(func() { must(t, client.Close()) })
	roads := []road{
		goRoad{n}, clientRoad{client}, rawRoad{nc}, serveHTTP(t, n), cliRoad{program: program(t), server: server.ClientURL()},
	}
	for _, r := range roads {
		_, err := n.CreateBucket(strings.ReplaceAll(ownBucket, "$", r.name()))
		must(t, err)
	}
	return roads
}

func serveHTTP(t *testing.T, n *library.Node) httpRoad {
	t.Helper()
	l, err := httpapi.Listen(t.Context(), "127.0.0.1:0", httpapi.Options{})
	must(t, err)
	web, ended := httpapi.New(n.API(), httpapi.Options{}), make(chan error, 1)
	go func() { ended <- web.Serve(l) }()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		must(t, errors.Join(web.Close(ctx), <-ended))
	})
	return httpRoad{client: client, url: "http://" + l.Addr().String() + "/v1/buckets/"}
}
