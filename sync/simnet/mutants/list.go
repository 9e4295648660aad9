package main

// A mutant is a bug to plant: edits that each replace a text found exactly once.
type mutant struct {
	name  string
	what  string
	edits []edit
}

// directed are the tests that find what no random history does, or only one of
// many: package and name.
var directed = map[string][2]string{
	"I1-ticket":    {"./store", "TestTicketOfAnotherStopIsNone"},
	"I6-closed":    {"./sync/simnet", "TestScenario40HoleForEver"},
	"H3-read":      {"./store", "TestBadRowIsFoundNotServedAndRepaired"},
	"H3-absent":    {"./store", "TestBadRowOfACollectedDeleteGoes"},
	"H3-log":       {"./store", "TestRottenStampIsRestored"},
	"H3-beaten":    {"./store", "TestBeatenBadRowIsReplaced"},
	"H3-check":     {"./store", "TestEveryBitOfARowCounts"},
	"H3-older":     {"./store", "TestRepairTakesTheLaterRow"},
	"H3-late":      {"./store", "TestLatePageOfARepairIsRefused"},
	"I5-below":     {"./sync", "TestClockIsFoldedForTheSameListOnly"},
	"I5-list":      {"./sync", "TestClockIsFoldedForTheSameListOnly"},
	"I5-unknown":   {"./sync", "TestReportFoldedByAnotherListIsNone"},
	"C6-unproven":  {"./sync/simnet", "TestReplicaKeepsWhatOnlyItHas"},
	"C7-count":     {"./store", "TestReconcileIsNotServedFromARottenDisk"},
	"C7-dot":       {"./store", "TestReconcileTakesNoWordOfABadRow"},
	"C7-bad":       {"./store", "TestBadRowThatWasDeletedElsewhereGoes"},
	"C7-doubt":     {"./sync/simnet", "TestDonorThatLostMostRowsIsNotBelieved"},
	"C7-self":      {"./sync/simnet", "TestOneDonorAloneWaitsForTheOperator"},
	"C7-goon":      {"./sync/simnet", "TestDonorThatLostMostRowsIsNotBelieved"},
	"C7-more":      {"./sync/simnet", "TestSecondDonorThatLostEvenMore"},
	"C7-away":      {"./sync/simnet", "TestPeerThatWasAwayTooIsNoSecondDonor"},
	"C7-rows":      {"./store", "TestConsentNamesRows"},
	"C7-policy":    {"./store", "TestWhatThePolicyDeletesIsDoubtedToo"},
	"C7-expiring":  {"./store", "TestLostExpiringRowIsMissed"},
	"B1-heir":      {"./sync/simnet", "TestTwoCannotLeaveABucketToEachOther"},
	"B1-fresh":     {"./sync/simnet", "TestBucketStaysWhileAnHeirIsOutOfReach"},
	"B1-order":     {"./sync/simnet", "TestHeirPartsBeforeItHasAll"},
	"B1-unsure":    {"./sync/simnet", "TestHeirWithABadRow"},
	"B1-again":     {"./sync", "TestLeaverAsksAgainWhoGaveUp"},
	"B1-unheld":    {".", "TestLeaveBeforeTheEngineKnows"},
	"B2-instance":  {"./sync", "TestPeerThatForgotThatABucketWasLeft"},
	"B2-told":      {"./sync/simnet", "TestBucketIsLeftAndJoinedAgain"},
	"B3-epoch":     {"./store", "TestDroppedBucketJoinedAgain"},
	"B3-heard":     {"./sync/simnet", "TestBucketIsLeftAndJoinedAgain"},
	"C7-seen":      {"./sync", "TestOperatorAcceptsWhatHeSaw"},
	"C7-word":      {"./sync", "TestOperatorLetsRowsGo"},
	"C6-vouch":     {"./sync", "TestOnlyAMasterThatStaysVouches"},
	"C6-more":      {"./store", "TestWipeIsOfWhatWasLookedAt"},
	"H3-unsure":    {"./store", "TestRowThatRottedTwiceStays"},
	"H3-extra":     {"./store", "TestBadExtraIsNotDroppedForOneThatNeverSawIt"},
	"H3-lost":      {"./store", "TestLostRowIsFetchedWhateverThePolicy"},
	"C7-life":      {"./sync/simnet", "TestVerdictsOfAnEarlierLifeAreNobodys"},
	"W4-digest":    {"./store", "TestMapCrashesKeepThePromise"},
	"S2-live":      {"./carry", "TestServedSnapshotIsOneMoment"},
	"C1-live":      {"./store", "TestNothingElseComesInWhileReconciling"},
	"G3-expired":   {"./store", "TestCollectDropsWhatAllHave"},
	"G2-report":    {"./sync", "TestCollectionNeedsEveryReport"},
	"M3-now":       {"./store", "TestAmbiguousPutIsIssuedAgain"},
	"W1-bad":       {"./store", "TestWriteOverABadRowIsNoOldOne"},
	"H3-told":      {"./store", "TestWriteOverARottenFutureRowIsTold"},
	"W1-rec":       {"./store", "TestReconcileLeavesWhatWasWrittenMeanwhile"},
	"S7-nonce":     {"./sync", "TestSessionsAreBoundToNonces"},
	"S9-log":       {"./sync", "TestResumedPullIsInKeyOrder"},
	"C2-absent":    {"./store", "TestReconcileTakesTheDonorsOlderRow"},
	"C4-unchecked": {"./sync", "TestReconcileWithADonorThatLacksTheGate"},

	"W4-acknowledge": {".", "TestNothingLeavesBeforeTheDiskHasIt"},
	"W4-publish":     {".", "TestNothingLeavesBeforeTheDiskHasIt"},
	"W4-serve":       {"./sync/simnet", "TestScenario15PublishWaitsFsync"},
	"S6-assign":      {"./sync/simnet", "TestScenario07JoinNotAssign"},
	"C3-changed":     {"./sync/simnet", "TestScenario28ReconcileLocalWriteDuring"},
	"G2-floor":       {"./sync/simnet", "TestScenario33TombstoneFutureWaits"},
	"W3-split":       {"./store", "TestEveryPrefixOfCommitsIsConsistent"},
	"C2-keep":        {"./store", "TestReconcile"},
	"S6-ahead":       {"./sync/simnet", "TestScenario26ForcedGCConverges"},
	"G2-cover":       {"./store", "TestScenario20GCNeedsOwnCover"},
	"W1-guard":       {"./sync/simnet", "TestScenario34WriteAfterGCLowHLC"},
	"H1-sum":         {"./sync/simnet", "TestHashTellsExtrasApart"},
	"S9-position":    {"./sync/simnet", "TestScenario30BootstrapOverwriteBehindCursor"},
	"S2-later":       {"./sync/simnet", "TestScenario06VectorFromSnapshot"},
	"S7-double":      {"./sync/simnet", "TestScenario18CloneTwoInstances"},

	"V-back":  {"./watch", "TestReconcileEndsWatchesWithTokens"},
	"V-wiped": {"./watch", "TestWipeEndsTheWatchOfWhoFellBehind"},
}

type edit struct {
	file, old, new string
}

// streams makes a donor leave out rows e for which condition is false. What the
// checks of the simulator read is left as it is.
func streams(condition string) string {
	return "		st.begin(a)\n		next := st.next\n		st.next = func() (oplog.Entry, error, bool) {\n			for {\n				e, err, ok := next()\n				if !ok || err != nil || " +
		condition + " {\n					return e, err, ok\n				}\n			}\n		}\n"
}

// mutants break one rule of docs/protocol.md each, named first. Those with a V break what
// ADR 10 says of watches.
var mutants = []mutant{
	{"S6-entry", "the clock covers each entry of a page as it comes", []edit{{
		"store/page.go",
		"if err := t.raiseAhead(entries[i].Dot()); err != nil {",
		"if err := t.raiseClock(entries[i].Stamp.Origin, entries[i].Stamp.Seq); err != nil {",
	}}},
	{"S6-range", "the clock covers an origin's claim with its first page", []edit{{
		"store/page.go",
		"	if token != nil {\n",
		"	if token != nil {\n		for i := range entries {\n			if o := entries[i].Stamp.Origin; token.Claim[o] > 0 {\n				_ = t.raiseClock(o, token.Claim[o])\n			}\n		}\n",
	}}},
	{"S4-bounded", "a donor streams only what its clock covers", []edit{
		{"carry/donor.go", "		st.begin(a)\n", streams("st.snap.Clock.Covers(e.Dot())")},
	}},
	{"S4-relay", "a donor streams only its own writes", []edit{
		{"carry/donor.go", "		st.begin(a)\n", streams("e.Stamp.Origin.Node == d.store.Node()")},
	}},
	{"L2-jump", "the clock jumps a gap", []edit{
		{"sync/live.go", "case m.First > covered+1:", "case false:"},
		{"store/live.go", "if m.Announced() || m.First > have+1 {", "if m.Announced() {"},
	}},
	{"L1-announced", "an announcement moves the clock", []edit{
		{"sync/live.go", "case m.Announced() || b.reconciling:", "case b.reconciling:"},
		{"store/live.go", "if m.Announced() || m.First > have+1 {", "if m.First > have+1 {"},
	}},
	{"M4-ahead", "extras are not noted", []edit{{"store/page.go", "		if news {\n", "		if news && false {\n"}}},
	{"S6-ahead", "the donor's extras are not taken over", []edit{{
		"store/page.go", "	for o, seq := range ahead {\n", "	for o, seq := range oplog.Clock(nil) {\n",
	}}},
	{"W4-serve", "a snapshot is served before its own writes are on disk", []edit{{
		"carry/donor.go", "if err := d.store.Sync(); err != nil {", "if err := error(nil); err != nil {",
	}}},
	{"W4-digest", "heartbeats tell of what is not on disk", []edit{{
		"store/digest.go",
		"func (b *Bucket) Durable() oplog.Digest {\n	b.mu.Lock()\n	defer b.mu.Unlock()\n	return b.durable.digest",
		"func (b *Bucket) Durable() oplog.Digest {\n	b.mu.Lock()\n	defer b.mu.Unlock()\n	return b.digest()",
	}}},
	{"I1-epoch", "a start goes on with the epoch of the one before", []edit{
		{"store/self.go", "Epoch: s.opts.Epoch()}", "Epoch: 7}"},
		{"store/self.go", "!used && drawn.Epoch != 0", "(!used || used) && drawn.Epoch != 0"},
	}},
	{"I1-ticket", "a start keeps the epoch of a clean stop, whoever started since", []edit{
		{"store/ticket.go", "was.ticket.IsZero() || was.ticket != s.opts.Ticket ||", "was.ticket.IsZero() ||"},
	}},
	{"S3-gate", "a donor does not look at the gate", []edit{{"sync/serve.go", "} else if !s.above.GE(ev.GCV) {", "} else if false {"}}},
	{"M3-guard", "what may be older than a collected tombstone is just taken", []edit{{
		"store/merge.go", "if ambiguous {", "if ambiguous && false {",
	}}},
	{"M3-now", "what is issued again gets the present time", []edit{{
		"store/merge.go", "max(t.guard(), s.cur.Stamp.HLC)+1", "max(t.guard(), s.cur.Stamp.HLC, t.hlc)+1",
	}}},
	{"M1-covered", "entries that are covered are merged again", []edit{{"store/merge.go", "	if t.covers(e.Dot()) {\n", "	if false {\n"}}},
	{"M5-clamp", "a timestamp of the future is cut at the receiver", []edit{{
		"store/merge.go", "		a.Future = append(a.Future, *e)\n", "		a.Future = append(a.Future, *e)\n		e.Stamp.HLC = limit\n",
	}}},
	{"M5-reject", "an entry of the future is left out, its clock taken", []edit{{
		"store/merge.go", "	t.observe(now, e, a)\n",
		"	t.observe(now, e, a)\n	if e.Stamp.HLC > oplog.HLCAt(now).Add(t.b.s.opts.MaxDrift) {\n		return true, nil\n	}\n",
	}}},
	{"M2-wall", "only timestamps are compared, not whole stamps", []edit{{
		"oplog/stamp.go", "cmp.Or(cmp.Compare(s.HLC, t.HLC), s.Origin.Compare(t.Origin), cmp.Compare(s.Seq, t.Seq))", "cmp.Or(cmp.Compare(s.HLC, t.HLC))",
	}}},
	{"W1-row", "a write may be older than the row it replaces", []edit{{
		"store/write.go", "		hlc = max(hlc, s.cur.Stamp.HLC+1)\n", "		_ = s\n",
	}}},
	{"W1-guard", "a write of an absent key may be older than its collected tombstone", []edit{{
		"store/write.go", "if t.rec != nil || absentLike(s, t.guard()) {", "if t.rec != nil || s.cur != nil && s.cur.bad {",
	}}},
	{"W1-bad", "a write over a bad row may be older than what was collected", []edit{{
		"store/write.go", "s.cur == nil || s.cur.bad || s.cur.Tombstone", "s.cur == nil || s.cur.Tombstone",
	}}},
	{"H3-told", "an own write that a repair replaces is not told of", []edit{{
		"store/repair.go", "		t.conflict(now, e, &s.cur.Entry, a)\n", "		_ = a\n",
	}}},
	{"W1-rec", "a write beside a reconcile may be older than what donors collected", []edit{{
		"store/write.go", "if t.rec != nil || absentLike", "if absentLike",
	}}},
	{"S2-live", "the claim is the donor's clock of later, not of the snapshot", []edit{{
		"carry/donor.go", "ev.Clock, ev.Ahead, ev.Rows = snap.Clock,", "ev.Clock, ev.Ahead, ev.Rows = b.Clock(),",
	}}},
	{"S6-assign", "the clock becomes the claim, also where it was higher", []edit{{
		"store/tx.go", "	if seq <= t.seq(o) {\n		return nil\n	}\n	if t.seq(o) == 0 {", "	if seq == t.seq(o) {\n		return nil\n	}\n	if t.seq(o) == 0 {",
	}}},
	{"W3-log", "the log row of a replaced row stays", []edit{{
		"store/tx.go", "		batch.Delete(logKey(t.b.id, t.number(s.base.Stamp.Origin), s.base.Stamp.Seq))\n", "",
	}}},
	{"W3-clock", "the clock is committed before the rows", []edit{{
		"store/tx.go", "	batch := t.b.s.kv.NewBatch()\n",
		"	early := t.b.s.kv.NewBatch()\n	t.writeClocks(early)\n	t.writeNames(early)\n	if err := t.b.s.commit(early); err != nil {\n		return nil, err\n	}\n	batch := t.b.s.kv.NewBatch()\n",
	}}},
	{"W3-hlc", "the timestamp is forgotten over a restart", []edit{{
		"store/bucket.go", "	st.hlc = oplog.HLC(binary.BigEndian.Uint64(m[1:]))\n", "	st.hlc = 0\n",
	}}},
	{"S7-nonce", "a session outlives its instances", []edit{{"sync/pull.go", "if p == nil || p.id != s {", "if p == nil || p.id.ID != s.ID {"}}},
	{"S5-count", "a page that is missing goes unnoticed", []edit{
		{"sync/pull.go", "if !p.began || p.end != nil || m.Number != p.pages+1 || len(m.Entries) == 0 {", "if !p.began || p.end != nil {"},
		{"sync/pullend.go", "whole := p.began && p.end == nil && m.Pages == p.pages && m.Entries == p.entries", "whole := p.began && p.end == nil"},
	}},
	{"R2-newest", "a resumed pull claims the last snapshot's clock", []edit{{
		"sync/pull.go", "p.claim, p.ahead = p.token.Claim.Meet(clock), p.token.Ahead.Meet(m.Ahead)", "p.ahead = p.token.Ahead.Meet(m.Ahead)",
	}}},
	{"S9-log", "a pull in log order is resumed", []edit{
		{"sync/serve.go", "s.keyOrder = s.request.Resume || s.request.Reconcile || ", "s.keyOrder = s.request.Reconcile || "},
		{"sync/pull.go", "if p.began || (p.token != nil || p.reconcile) && !m.KeyOrder {", "if p.began || p.reconcile && !m.KeyOrder {"},
	}},
	{"S9-position", "a pull is resumed at a place in the log", []edit{
		{"sync/serve.go", "s.keyOrder = s.request.Resume || s.request.Reconcile || covered > limit || extra > limit-covered", "s.keyOrder = s.request.Reconcile || !s.request.Resume && (covered > limit || extra > limit-covered)"},
		{"sync/pull.go", "if p.began || (p.token != nil || p.reconcile) && !m.KeyOrder {", "if p.began || p.reconcile && !m.KeyOrder {"},
		{"carry/donor.go", "		st.begin(a)\n", "		st.begin(a)\n		next, passed := st.next, a.KeyOrder || len(a.After) == 0\n		st.next = func() (oplog.Entry, error, bool) {\n			for {\n				e, err, ok := next()\n				if !ok || err != nil || passed {\n					return e, err, ok\n				}\n				passed = string(e.Key) == string(a.After)\n			}\n		}\n"},
	}},
	{"C1-live", "live messages are merged beside a reconcile", []edit{
		{"sync/live.go", "case m.Announced() || b.reconciling:", "case m.Announced():"},
		{"store/live.go", "	if b.state.rec != nil {\n", "	if false {\n"},
	}},
	{"C2-drop", "a reconcile drops what only this node has", []edit{{
		"store/verdict.go", "	case st.Clock.Covers(e.Dot()):\n", "	case true:\n",
	}}},
	{"C2-absent", "a reconcile drops only where the donor has nothing at all", []edit{{
		"store/verdict.go", "	case st.Clock.Covers(e.Dot()):\n", "	case st.Clock.Covers(e.Dot()) && p == nil:\n",
	}}},
	{"C2-keep", "a reconcile keeps what it should issue again", []edit{{
		"store/verdict.go", "	case !e.Tombstone && absent &&", "	case e.Tombstone && absent &&",
	}}},
	{"C3-changed", "a verdict is carried out on a row written since", []edit{{
		"store/verdict.go", "	case s.cur.Stamp != v.stamp || v.bad && !s.cur.bad:\n", "	case false:\n",
	}}},
	{"C4-unchecked", "a reconcile is resumed with any donor", []edit{{
		"sync/pull.go", "switch covers := p.claim.GE(p.gate.GCV); {", "switch covers := true; {",
	}}},
	{"C5-gate", "a reconcile does not take the gate over", []edit{{
		"store/reconcile.go", "		t.raiseGate(rec.GCV, rec.GCTS)\n", "		t.raiseGate(nil, rec.GCTS)\n",
	}}},
	{"C5-guard", "a reconcile does not take the guard over", []edit{{
		"store/reconcile.go", "		t.raiseGate(rec.GCV, rec.GCTS)\n", "		t.raiseGate(rec.GCV, 0)\n",
	}}},
	{"G2-cover", "a tombstone is collected that the own clock does not cover", []edit{{
		"store/collect.go", "	if !c.t.covers(r.Dot()) || r.Stamp.HLC > c.o.Upto {\n", "	if r.Stamp.HLC > c.o.Upto {\n",
	}}},
	{"G2-report", "a tombstone is collected though a member has what we lack", []edit{{
		"sync/collect.go", "		if r == nil || !own.GE(r.clock) {\n", "		if r == nil {\n",
	}}},
	{"G2-floor", "a tombstone is collected before all floors have passed it", []edit{{
		"sync/collect.go", "stable.Meet(r.clock), min(upto, r.floor)", "stable.Meet(r.clock), upto",
	}}},
	{"G2-member", "a member that says nothing does not count", []edit{{
		"sync/collect.go", "		if r == nil || !own.GE(r.clock) {\n			return nil, 0, false\n		}\n", "		if r == nil {\n			continue\n		}\n		if !own.GE(r.clock) {\n			return nil, 0, false\n		}\n",
	}}},
	{"G3-gate", "collecting leaves no gate behind", []edit{{
		"store/collect.go", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)", "c.t.raiseGate(nil, s.cur.Stamp.HLC)",
	}}},
	{"M3-replica", "a replica issues again", []edit{{
		"store/merge.go", "	if t.b.s.opts.Replica {\n", "	if false {\n",
	}}},
	{"C6-unproven", "a replica empties itself though no master has all that it holds", []edit{{
		"sync/replica.go", "	if !r.clock.GE(e.store.Clock(bucket)) {\n		return false\n	}\n", "	if true {\n		return true\n	}\n",
	}}},
	{"I5-below", "a clock that does not cover the list is folded", []edit{{"sync/finals.go", " || !whole.GE(finals) {", " {"}}},
	{"I5-list", "a clock is folded for a node with another list", []edit{{"sync/finals.go", "list == 0 || list != e.self.Finals || ", ""}}},
	{"I5-unknown", "a report is taken though it was folded by another list", []edit{{"sync/collect.go", "if m.From.Finals != e.self.Finals {", "if false {"}}},
	{"I6-closed", "the writes of a forgotten node that are lost count as missing", []edit{{"store/bucket.go", "		if !closed(o.Node) {\n", "		if !closed(o.Node) || true {\n"}}},
	{"H1-expiry", "rows that each node drops at its own time count in the hash", []edit{{"store/row.go", "!r.Tombstone && r.Expiry == 0 }", "!r.Tombstone }"}}},
	{"G3-expired", "an expired row is dropped though not every member has it", []edit{{"store/collect.go", "	return c.o.Force || c.o.Stable", "	return c.o.Force || r.Expiry > 0 || c.o.Stable"}}},
	{"H3-read", "a row that is not what was written is given out", []edit{{"store/bucket.go", "r.Key = key; !r.bad && r.hash == r.Hash() {", "r.Key = key; true {"}}},
	{"H3-older", "a repair puts the other's row in the place of a later one", []edit{{"store/repair.go", "	if err != nil || !beats {\n", "	if err != nil || !beats && false {\n"}}},
	{"H3-absent", "a bad row whose delete was collected stays for ever", []edit{{"store/repair.go", "	if err := t.dropAbsent(&m); err != nil {\n", "	if err := error(nil); err != nil {\n"}}},
	{"H3-log", "a row whose stamp has rotted is not given back", []edit{{"store/repair.go", "		if same, err = t.logNames(e.Dot(), e.Key); err != nil {\n", "		if _, err = t.logNames(e.Dot(), e.Key); err != nil {\n"}}},
	{"H3-beaten", "a bad row that was beaten elsewhere stays for as long as the others lack anything", []edit{{"store/repair.go", "		if seen, err := t.seenBad(s.cur, clock); err != nil || !seen {\n", "		if seen, err := t.seenBad(s.cur, clock); err != nil || !seen || true {\n"}}},
	{"H3-check", "what a row says of the one it replaced is under no check", []edit{{"store/row.go", "		r.bad = d.uint32() != uint32(xxhash.Sum64(behind))\n", "		r.bad = d.uint32() != uint32(xxhash.Sum64(behind)) && false\n"}}},
	{"H3-late", "a repair takes a page though rows were collected since", []edit{{"store/repair.go", "	if b.gated != m.Gated {\n", "	if false {\n"}}},
	{"C7-count", "a donor does not count its rows before it ends a reconcile", []edit{{"store/repair.go", "err == nil && !stopped && (got.parts != s.Sums || got.rows != s.Count) {", "false {"}}},
	{"C7-doubt", "a reconcile removes however many rows at once", []edit{{"store/doubt.go", "g.unasked > max(c.Most, limit) {", "false && g.unasked > limit {"}}},
	{"C7-self", "a donor that is doubted confirms itself", []edit{
		{"sync/doubt.go", "slices.Contains(o.donors, p.name) && !o.seconded {", "false && !o.seconded {"},
		{"sync/doubt.go", "		if !overlap(o.donors, donors) {\n", "		if true {\n"},
	}},
	{"C7-goon", "a second donor goes on where the doubted one ended", []edit{
		{"sync/doubt.go", " || d != nil && !d.accepted && (b.donors == nil || overlap(b.donors, d.donors))", " || d != nil && false"},
		{"sync/doubt.go", "		if !overlap(o.donors, donors) {\n", "		if true {\n"},
	}},
	{"C7-more", "a second donor confirms more than the first has said", []edit{{"sync/doubt.go", "	if slices.Equal(by, d.donors) && d.accepted {\n		c.Most = d.rest\n", "	if true {\n		c.Most = 1 << 40\n"}}},
	{"C7-rows", "a second donor confirms as many rows, whichever", []edit{{"store/doubt.go", "r.hash); !agreed {", "r.hash); !agreed && len(g.consent.Rows) == 0 {"}}},
	{"C7-policy", "a reconcile deletes however many rows by policy", []edit{{"store/doubt.go", "v.reissue && b.ambiguous() == Keep {", "v.reissue {"}}},
	{"C7-expiring", "a donor that counts its rows misses no expiring ones", []edit{{"store/repair.go", " || got.rows != s.Count) {", ") {"}}},
	{"C7-seen", "an operator accepts what he has not seen", []edit{{"sync/doubt.go", " && b.doubt.Removes <= ev.Most:", ":"}}},
	{"C7-word", "the operator's word is of any rows, as many", []edit{{"sync/doubt.go", "	if slices.Equal(by, d.donors) && d.accepted {\n		c.Most = d.rest\n", "	if d.accepted {\n		c.Most = d.Removes\n"}}},
	{"C6-vouch", "a replica empties itself on the word of a master that is none any more", []edit{{"sync/replica.go", "return !p.inst.Replica && e.reachable(p) && !e.closed(p.name) && !e.diverges(bucket, p)", "return !p.inst.Replica"}}},
	{"C6-more", "a replica empties more than it has asked about", []edit{{"store/wipe.go", "	if bound := clock != nil; bound && (", "	if bound := false; bound && ("}}},
	{"H3-unsure", "a donor's bad row is taken for a deleted one", []edit{{"store/repair.go", "HashPart([]byte(key)))); unsure {", "HashPart([]byte(key)))); unsure && false {"}}},
	{"H3-extra", "a bad extra is dropped for a donor that never saw it", []edit{{"store/repair.go", "m.Covered && m.Clock.GE(t.b.state.ahead)", "m.Covered"}}},
	{"H3-lost", "a row that was lost is issued again as the policy says", []edit{{"store/repair.go", "t.reissueAs(now, Keep, s, a)", "t.reissue(now, s, a)"}}},
	{"C7-away", "a node that was away, too, is a second donor", []edit{{"sync/doubt.go", "d.accepted || clock.GE(d.gcv) {", "true {"}}},
	{"C7-life", "what an earlier process compared is taken for this donor's word", []edit{{"sync/doubt.go", "case b.donors == nil || slices", "case slices"}}},
	{"C7-bad", "a reconcile leaves a bad row that the donor has no more", []edit{{
		"store/verdict.go", "		return t.judgeBad(e, p, st)\n", "		return nil\n",
	}}},
	{"C7-dot", "a reconcile believes what a bad row says of itself", []edit{{
		"store/verdict.go", "	return t.logNames(e.Dot(), e.Key)\n", "	return true, nil\n",
	}}},
	{"S9-batch", "a page in log order ends within an atomic batch", []edit{{
		"carry/donor.go", "return st.byLog && last.SameBatch(next)", "return false && st.byLog && last.SameBatch(next)",
	}}},
	{"G3-guard", "collecting leaves no guard behind", []edit{{
		"store/collect.go", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, 0)",
	}}},
	{"W4-skip", "the fsync is skipped", []edit{{
		"store/store.go", "	if err := s.kv.Sync(); err != nil {\n		return s.fail(err)\n	}\n	for", "	for",
	}}},
	{"W4-acknowledge", "a write is acknowledged before it is on disk", []edit{{
		"loop.go", "	err := l.node.store.Sync()\n	l.answer(g, err)\n", "	l.answer(g, nil)\n	err := l.node.store.Sync()\n",
	}}},
	{"W4-publish", "a live message leaves before its writes are on disk", []edit{{
		"loop.go", "	err := l.node.store.Sync()\n	l.answer(g, err)\n", "	l.publish(g)\n	err := l.node.store.Sync()\n	l.answer(g, err)\n",
	}}},
	{"B1-heir", "who parts with a bucket tells others that it keeps it", []edit{{
		"sync/hello.go", "if !e.holds(d.Bucket) || e.parting[d.Bucket] {", "if !e.holds(d.Bucket) {",
	}}},
	{"B1-fresh", "a node counts on one that has not said that it keeps the bucket", []edit{{
		"sync/part.go", "if p.heir[bucket] && e.handedTo(name, bucket) {", "if e.handedTo(name, bucket) {",
	}}},
	{"B1-order", "an heir says that it keeps a bucket before it has all", []edit{{
		"sync/part.go", "if e.parting[d.Bucket] && keeps && e.handedTo(p.name, d.Bucket) {", "if e.parting[d.Bucket] && keeps {",
	}, {"sync/roster.go", "if e.parting[bucket] && e.handedTo(name, bucket) {", "if e.parting[bucket] {"}}},
	{"B1-unsure", "an heir does not say that it knows of bad rows", []edit{{
		"sync/hello.go", "if e.store.BadRows(d.Bucket) > 0 {", "if false {",
	}}},
	{"B1-again", "who parts with a bucket asks once", []edit{{
		"sync/roster.go", "				e.peers[name].greetIn(e, 0) // again: it may have begun to part itself, and given up\n", "",
	}}},
	{"B1-unheld", "of a bucket that the engine does not know nothing is lacking", []edit{{
		"part.go", "		if held {\n", "		if held || true {\n",
	}, {"sync/roster.go", "			lacking[bucket] = nil // nothing is known of it yet\n", ""}}},
	{"B2-instance", "a peer that has started again is not told once more what was left", []edit{{
		"sync/peer.go", "	clear(p.parted) // it may have lost that, too\n", "",
	}}},
	{"B2-told", "nobody is told that a bucket was left", []edit{{
		"sync/part.go", "if len(list) < oplog.MaxDigests && !p.parted[name] {", "if false {",
	}, {"sync/hello.go", "			answer.Unknown = append(answer.Unknown, d.Bucket)\n", ""}}},
	{"B3-epoch", "a bucket that is joined again counts its writes anew, under the epoch of before", []edit{{
		"store/store.go", "if _, used := was.wrote[s.own.Epoch]; used {", "if false {",
	}}},
	{"B3-heard", "a bucket that was left is joined for being heard of", []edit{{
		"sync/engine.go", "e.holds(bucket) || e.left[bucket] ||", "e.holds(bucket) ||",
	}}},
	{"I1-early", "live messages leave before the fsync, and a start goes on with the epoch", []edit{
		{"store/self.go", "Epoch: s.opts.Epoch()}", "Epoch: 7}"},
		{"store/self.go", "!used && drawn.Epoch != 0", "(!used || used) && drawn.Epoch != 0"},
		{"sync/simnet/node.go", "	n.waiting[bucket] = append(n.waiting[bucket], group{bucket, written})\n", "	n.publish(group{bucket, written})\n"},
		{"sync/simnet/onlooker.go", "if high > durable && !own.IsZero() {", "if false {"},
		{"sync/simnet/ledger.go", "old != nil {", "old != nil && false {"},
	}},
	{"L1-replay", "a donor fills a gap from its own log and claims its own row", []edit{
		{"carry/donor.go", "ev.Clock, ev.Ahead, ev.Rows = snap.Clock, snap.Ahead, snap.Count\n", "ev.Clock, ev.Rows = oplog.Clock{}, snap.Count\n	for o, seq := range snap.Clock {\n		if o.Node == d.store.Node() {\n			ev.Clock[o] = seq\n		}\n	}\n"},
		{"carry/donor.go", "		st.begin(a)\n", streams("e.Stamp.Origin.Node == d.store.Node()")},
	}},
	{"M2-clock", "only the wall part of timestamps is compared", []edit{{
		"oplog/stamp.go", "cmp.Or(cmp.Compare(s.HLC, t.HLC), s.Origin.Compare(t.Origin), cmp.Compare(s.Seq, t.Seq))", "cmp.Compare(s.HLC>>16, t.HLC>>16)",
	}}},
	{"M4-silent", "extras are not noted, and digests leave out the hash of the rows", []edit{
		{"store/page.go", "		if news {\n", "		if news && false {\n"},
		{"oplog/heartbeat.go", " && d.Sum == e.Sum", ""},
	}},
	{"H1-sum", "digests leave out the hash of the rows", []edit{{"oplog/heartbeat.go", " && d.Sum == e.Sum", ""}}},
	{"W3-split", "the log row of a replaced row goes in a batch before", []edit{{
		"store/tx.go", "	batch := t.b.s.kv.NewBatch()\n	if err := t.writeRows(batch, slots); err != nil {\n",
		"	early := t.b.s.kv.NewBatch()\n	for _, s := range slots {\n		if s.base != nil && s.cur != nil {\n			early.Delete(logKey(t.b.id, t.number(s.base.Stamp.Origin), s.base.Stamp.Seq))\n		}\n	}\n	if err := t.b.s.commit(early); err != nil {\n		return nil, err\n	}\n	batch := t.b.s.kv.NewBatch()\n	if err := t.writeRows(batch, slots); err != nil {\n",
	}}},
	{"C4-newest", "a resumed reconcile claims the last donor's clock", []edit{{
		"sync/pull.go", "p.claim, p.ahead = p.token.Claim.Meet(clock), p.token.Ahead.Meet(m.Ahead)",
		"if p.ahead = p.token.Ahead.Meet(m.Ahead); !p.reconcile {\n			p.claim = p.token.Claim.Meet(clock)\n		}",
	}}},
	{"G3-nothing", "collecting leaves neither gate nor guard behind", []edit{{
		"store/collect.go", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)", "c.t.raiseGate(nil, 0)",
	}}},
	{"G5-early", "a tombstone is collected whoever has not seen it", []edit{{
		"sync/collect.go", "stable, upto, ok := e.stability(b); ok {", "stable, upto := e.store.Clock(b.name), oplog.HLC(1<<63); true {",
	}}},
	{"G5-bare", "a tombstone is collected whoever has not seen it, with neither gate nor guard", []edit{
		{"sync/collect.go", "stable, upto, ok := e.stability(b); ok {", "stable, upto := e.store.Clock(b.name), oplog.HLC(1<<63); true {"},
		{"store/collect.go", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)", "c.t.raiseGate(nil, 0)"},
	}},
	{"G2-sketch", "a tombstone is collected once all clocks cover it, with neither gate nor guard", []edit{
		{"sync/collect.go", "		if r == nil || !own.GE(r.clock) {\n", "		if r == nil {\n"},
		{"sync/collect.go", "stable.Meet(r.clock), min(upto, r.floor)", "stable.Meet(r.clock), upto"},
		{"store/collect.go", "c.t.raiseGate(oplog.Clock{s.cur.Stamp.Origin: s.cur.Stamp.Seq}, s.cur.Stamp.HLC)", "c.t.raiseGate(nil, 0)"},
	}},
	{"S2-later", "the claim is the donor's clock when it begins to stream", []edit{{
		"sync/serve.go", ", ev.Clock.Above(s.above))", ", e.store.Clock(s.bucket).Above(s.above))",
	}}},
	{"V-had", "a watch that goes on forgets what its reader had", []edit{{
		"watch/reader.go", "	r.had, r.hadHigh, r.pos, r.high = had, high, had, high\n", "	r.hadHigh, r.pos, r.high = high, had, high\n",
	}}},
	{"V-early", "a mark is told before changes that it covers", []edit{{
		"watch/hub.go", "	h.add(change{Telling: Telling{Mark: at}})\n", "	h.pending = append([]change{{Telling: Telling{Mark: at}, number: h.next}}, h.pending...)\n",
	}}},
	{"V-disk", "an own change is told before it is on disk", []edit{{
		"watch/hub.go", "h.pending[n].own.Seq == 0 || onDisk", "h.pending[n].own.Seq < 1<<63 || onDisk",
	}}},
	{"V-full", "a reader whose buffer is full is not told, and not let go", []edit{{
		"watch/hub.go", "		default:\n			h.drop(w, ErrFellBehind)\n", "		default:\n",
	}}},
	{"V-slow", "a reader that fell behind goes on without reading what it missed", []edit{{
		"watch/reader.go", "		rows := snap.Log(r.pos)\n", "		rows := snap.Log(r.pos)\n		if r.at != nil {\n			rows = snap.Log(snap.Clock)\n		}\n",
	}}},
	{"V-gate", "a token from before deletes that were collected is taken", []edit{{
		"watch/reader.go", "} else if !r.pos.GE(snap.GCV) {", "} else if false {",
	}}},
	{"V-join", "a reader joins the hub once it was told the snapshot, not with it", []edit{{
		"watch/reader.go", "func (r *Reader) Replayed(snap *store.Snapshot) { r.moveTo(snap.Clock) }", "func (r *Reader) Replayed(snap *store.Snapshot) { r.hub.leave(r); r.hub.join(r); r.moveTo(snap.Clock) }",
	}}},
	{"V-origin", "a token leaves out one origin", []edit{{
		"watch/token.go", "	b = binary.AppendUvarint(b, uint64(len(clock)))\n", "	if all := clock.Origins(); len(all) > 1 {\n		clock = clock.Clone()\n		delete(clock, all[0])\n	}\n	b = binary.AppendUvarint(b, uint64(len(clock)))\n",
	}}},
	{"V-extras", "a mark forgets what was told beyond it", []edit{{
		"watch/reader.go", "	maps.DeleteFunc(r.told, func(d oplog.Dot, _ struct{}) bool { return r.pos.Covers(d) })\n", "	maps.DeleteFunc(r.told, func(oplog.Dot, struct{}) bool { return true })\n",
	}}},
	{"V-reconcile", "a watch with a token goes on over a reconcile", []edit{{
		"watch/reader.go", "if r.had != nil && !r.pos.GE(t.Gate) {", "if false {",
	}}},
	{"V-back", "a row that a reconcile removes is not told to a reader that had it", []edit{{
		"watch/reader.go", "case !t.Back && !r.behind && r", "case !r.behind && r",
	}}},
	{"V-behind", "a reader told older rows than he had is not told again what beats them", []edit{{
		"watch/reader.go", "	if r.ahead && !r.behind && e.", "	if false && e.",
	}}},
	{"V-wiped", "a reader that fell behind hears nothing of it when the bucket is emptied", []edit{{
		"watch/hub.go", "r.watcher == nil || r.watcher.ends == h.ends", "true || r.watcher.ends == h.ends",
	}}},
	{"V-token", "a token covers what its reader had, though he was told older rows since", []edit{
		{"watch/reader.go", "		r.behind, r.pos = true, r.at\n", "		r.behind = true\n"},
		{"watch/reader.go", "	} else if !r.behind {\n", "	} else {\n"},
	}},
	{"S7-double", "another instance of the name answers for the one that was asked", []edit{{
		"sync/serve.go", "if _, double := e.doubles[s.Donor]; double {", "if false {",
	}}},
}
