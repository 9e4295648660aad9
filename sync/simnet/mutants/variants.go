package main

import "slices"

// variants are the broken protocols that were tried when the rules were made,
// by their names, and which bug stands for each here. N broke one rule in a
// fleet that kept all others; SN did so while tombstones were collected whoever
// had not seen them.
var variants = map[string]string{
	"N01":  "S6-range",
	"N01c": "S6-range", // with crashes
	"N01r": "S6-range", // with an older disk
	"N02":  "S6-entry",
	"N02c": "S6-entry", // with crashes
	"N02g": "S6-entry", // beside collection
	"N03":  "S4-bounded",
	"N04":  "L2-jump",
	"N05":  "M4-silent",
	"N05c": "M4-silent", // with a hole for ever
	"N05h": "H1-sum",
	"N06":  "I1-early",
	"N07":  "I1-epoch", // an older disk
	"N08":  "I1-epoch", // a copied one
	"N09":  "G5-bare",
	"N09g": "G5-early",
	"N10":  "G2-sketch",
	"N10p": "G2-sketch", // without a crash
	"N11":  "W4-digest",
	"N12":  "G3-nothing",
	"N12g": "M3-guard",
	"N13":  "G3-nothing", // with an older disk
	"N14":  "C2-drop",
	"N15":  "M1-covered",
	"N16":  "S2-later",
	"N17":  "S6-assign",
	"N18":  "W3-split",
	"N19":  "W3-clock",
	"N20":  "S7-nonce",
	"N21":  "S5-count",
	"N22":  "R2-newest",
	"N23":  "S9-position",
	"N24":  "M5-clamp",
	"N25":  "M5-reject",
	"N26":  "S4-relay",
	"N27":  "C2-absent",
	"N28":  "C2-keep",
	"N29":  "M3-now",
	"SN14": "C2-drop",
	"SN27": "C2-absent",
	"SN28": "C2-keep",
	"SN29": "M3-now",
	"SN30": "M3-guard",
	"SN31": "S3-gate",
	"SN32": "C4-newest",
	"SN33": "C4-unchecked",
}

// variantsOf lists the broken protocols that the bug stands for.
func variantsOf(bug string) []string {
	var list []string
	for v, b := range variants {
		if b == bug {
			list = append(list, v)
		}
	}
	slices.Sort(list)
	return list
}
