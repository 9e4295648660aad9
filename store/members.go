package store

import (
	"encoding/binary"
	"errors"
	"time"

	"replicator/oplog"
)

// A Member is a node that was heard of, as it is kept over restarts.
type Member struct {
	Node    string
	Heard   time.Time // to the millisecond
	Buckets []string  // that it holds
	Replica bool      // it never writes
}

const memberV1 = 1

func memberKey(node string) []byte { return append([]byte{tableMembers}, node...) }

const memberReplica = 1 // a flag

// encode writes version 1, flags, heard 8, then each name with its length
// before it.
func (m *Member) encode() []byte {
	var flags byte
	if m.Replica {
		flags |= memberReplica
	}
	b := binary.BigEndian.AppendUint64([]byte{memberV1, flags}, uint64(m.Heard.UnixMilli()))
	for _, name := range m.Buckets {
		b = append(append(b, byte(len(name))), name...)
	}
	return b
}

func decodeMember(key, v []byte) (Member, error) {
	m := Member{Node: string(key[1:])}
	if len(v) < 10 || v[0] != memberV1 || v[1]&^memberReplica != 0 || !oplog.ValidName(m.Node) {
		return m, errors.New("member of a wrong name, size or version")
	}
	m.Replica = v[1]&memberReplica != 0
	m.Heard = time.UnixMilli(int64(binary.BigEndian.Uint64(v[2:])))
	for v = v[10:]; len(v) > 0; {
		n := int(v[0])
		if n == 0 || len(v) < 1+n || len(m.Buckets) == oplog.MaxBucket {
			return m, errors.New("member with an impossible bucket")
		}
		m.Buckets = append(m.Buckets, string(v[1:1+n]))
		v = v[1+n:]
	}
	return m, nil
}

// SaveMember keeps what is known of a member. It does not sync: what a crash
// takes is heard again.
func (s *Store) SaveMember(m Member) error {
	if err := s.writable(); err != nil {
		return err
	}
	if !oplog.ValidName(m.Node) || len(m.Buckets) > oplog.MaxBucket {
		return errors.New("store: no member has such a name or so many buckets")
	}
	for _, name := range m.Buckets {
		if !oplog.ValidName(name) {
			return errors.New("store: a member holds a bucket without a name")
		}
	}
	b := s.kv.NewBatch()
	b.Set(memberKey(m.Node), m.encode())
	if err := s.commit(b); err != nil {
		return err
	}
	s.commits.Add(1)
	return nil
}

// Members lists the members kept, by name.
func (s *Store) Members() ([]Member, error) {
	var list []Member
	err := walk(s.kv, []byte{tableMembers}, []byte{tableMembers + 1}, func(key, value []byte) error {
		m, err := decodeMember(key, value)
		list = append(list, m)
		return err
	})
	return list, err
}
