package store

// CheckOp reports whether Write would take the op, so that a caller can refuse
// it before it joins a group with others'. The error is a *LimitError for sizes.
func CheckOp(op Op) error { return checkOp(&op) }

// CheckKey reports whether key can be a key.
func CheckKey(key []byte) error { return checkOp(&Op{Key: key}) }

// NodeName returns the name of the node that a store belongs to, empty for a new
// one. Nobody else may have kv open as a store.
func NodeName(kv KV) (string, error) {
	s, ok, err := loadSelf(kv)
	if err != nil || !ok {
		return "", err
	}
	return s.node, nil
}
