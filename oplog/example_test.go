package oplog_test

import (
	"errors"
	"fmt"
	"time"

	"replicator/oplog"
)

// A live message as nats sub shows it when a node writes JSON.
func ExampleEncode() {
	origin := oplog.Origin{Node: "paris", Epoch: 0x5eed}
	at := oplog.HLCAt(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	body, err := oplog.Encode(oplog.JSON, &oplog.Live{
		Bucket: "default", Origin: origin, First: 1, Last: 2,
		Entries: []oplog.Entry{
			{Key: []byte("greeting"), Value: []byte("hello"), Stamp: oplog.Stamp{HLC: at, Origin: origin, Seq: 1}},
			{Key: []byte{0xff}, Tombstone: true, Stamp: oplog.Stamp{HLC: at + 1, Origin: origin, Seq: 2}},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(string(body))
	// Output:
	// {"v":1,"type":"live","bucket":"default","origin":"paris/0000000000005eed","first":1,"last":2,"entries":[{"key":"greeting","value":"hello","hlc":"019b76daa8000000","origin":"paris/0000000000005eed","seq":1},{"key_b64":"/w==","hlc":"019b76daa8000001","origin":"paris/0000000000005eed","seq":2,"flags":1}]}
}

// Decode tells by byte 0 in which codec a body is.
func ExampleDecode() {
	for _, codec := range []oplog.Codec{oplog.Msgpack, oplog.JSON} {
		body, err := oplog.Encode(codec, &oplog.Busy{
			Session:    oplog.Session{ID: 1, Puller: oplog.Nonce{1}, Donor: oplog.Nonce{2}},
			RetryAfter: 500,
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := oplog.Decode(body)
		if busy, ok := m.(*oplog.Busy); ok {
			fmt.Println(oplog.KindOf(m), busy.RetryAfter, err)
		}
	}
	_, err := oplog.Decode([]byte{0x02, 0x00})
	fmt.Println(errors.Is(err, oplog.ErrVersion), err)
	// Output:
	// busy 500 <nil>
	// busy 500 <nil>
	// true oplog: unknown format version: first byte 0x02
}

func ExampleClock() {
	paris, rome := oplog.Origin{Node: "paris", Epoch: 1}, oplog.Origin{Node: "rome", Epoch: 2}
	mine := oplog.Clock{paris: 5}
	theirs := oplog.Clock{paris: 4, rome: 9}
	fmt.Println(mine.GE(theirs), mine.Lag(theirs), theirs.Above(mine))
	mine.Join(theirs)
	fmt.Println(mine)
	// Output:
	// false 9 map[rome/0000000000000002:9]
	// map[paris/0000000000000001:5 rome/0000000000000002:9]
}
