package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/ttrpc/bench/workload"
)

// report is all that a run found out. It is saved as JSON.
type report struct {
	Machine  machine
	Versions map[string]string // of the modules that are measured
	Base     string
	Rounds   int // finished
	Seconds  float64
	Peers    []string
	Cases    []string
	Outcomes map[string]map[string]*outcome // by case and peer
}

// outcome is the result of one peer in one case.
type outcome struct {
	Results []workload.Result // one a round
	// Failure, if any, is why there are no more results.
	Failure failure
}

// failure is why a peer has no figures for a case.
type failure struct {
	Kind   failureKind `json:",omitempty"`
	Reason string      `json:",omitempty"`
}

type failureKind string

const (
	hangs  failureKind = "hangs"  // it was killed after the time limit
	fails  failureKind = "fails"  // it returned an error
	unable failureKind = "cannot" // it lacks a feature that the case asks for
)

func (f failure) String() string { return fmt.Sprintf("%s (%s)", f.Kind, f.Reason) }

// cell returns the text that a table shows in place of figures.
func (f failure) cell() string {
	if f.Kind == hangs || f.Kind == fails {
		return "**" + string(f.Kind) + "**"
	}
	return "–"
}

func newReport(s settings, peers []peer, cases []benchCase) *report {
	r := &report{
		Machine:  thisMachine(),
		Versions: make(map[string]string),
		Base:     s.base,
		Seconds:  s.measure.Seconds(),
		Outcomes: make(map[string]map[string]*outcome),
	}
	for _, p := range peers {
		r.Peers = append(r.Peers, p.name)
	}
	for _, c := range cases {
		r.Cases = append(r.Cases, c.name)
	}
	return r
}

func (r *report) outcome(c, p string) *outcome {
	if r.Outcomes[c] == nil {
		r.Outcomes[c] = make(map[string]*outcome)
	}
	if r.Outcomes[c][p] == nil {
		r.Outcomes[c][p] = new(outcome)
	}
	return r.Outcomes[c][p]
}

// runCase runs one case of one peer once.
func runCase(ctx context.Context, p peer, c benchCase, profile string) (workload.Result, error) {
	if c.section == secProgram {
		return runTiny(ctx, p, c)
	}
	return runLoad(ctx, p, c, profile)
}

func (o *outcome) add(res workload.Result, err error) {
	switch {
	case errors.Is(err, errTimeLimit):
		o.Failure = failure{hangs, err.Error()}
	case err != nil:
		o.Failure = failure{fails, err.Error()}
	case res.Unsupported != "":
		o.Failure = failure{unable, res.Unsupported}
	default:
		o.Results = append(o.Results, res)
		return
	}
	if n := len(o.Results); n > 0 {
		o.Failure.Reason += fmt.Sprintf(", after %d good rounds", n)
	}
}

// median returns the median of a figure over the rounds, false if there is none.
func (o *outcome) median(m metric) (float64, bool) {
	if o == nil {
		return 0, false
	}
	var all []float64
	for _, res := range o.Results {
		all = append(all, m.of(res))
	}
	return median(all)
}

// ratio returns the median of the ratios of a figure to the base's in the same
// round.
func (o *outcome) ratio(base *outcome, m metric) (float64, bool) {
	if o == nil || base == nil {
		return 0, false
	}
	var all []float64
	for i := range min(len(o.Results), len(base.Results)) {
		if b := m.of(base.Results[i]); b != 0 {
			all = append(all, m.of(o.Results[i])/b)
		}
	}
	return median(all)
}

func median(v []float64) (float64, bool) {
	if len(v) == 0 {
		return 0, false
	}
	v = slices.Sorted(slices.Values(v))
	mid := len(v) / 2
	if len(v)%2 == 0 {
		return (v[mid-1] + v[mid]) / 2, true
	}
	return v[mid], true
}

// addVersions notes the versions of a built peer and of the dependencies that it
// shares with others, which must be the same.
func (r *report) addVersions(p peer) error {
	info, err := buildinfo.ReadFile(p.load)
	if err != nil {
		return err
	}
	r.Machine.Go = info.GoVersion
	for _, dep := range info.Deps {
		switch dep.Path {
		case "google.golang.org/grpc":
			if p.name != "grpc" {
				continue // its codes and status only
			}
		case "storj.io/drpc", "google.golang.org/protobuf", "github.com/gogo/protobuf":
		default:
			continue
		}
		if other, ok := r.Versions[dep.Path]; ok && other != dep.Version {
			return fmt.Errorf("peer %s has %s %s, another one %s: they cannot be compared", p.name, dep.Path, dep.Version, other)
		}
		r.Versions[dep.Path] = dep.Version
	}
	return nil
}

func (r *report) save(path string) error {
	b, err := json.MarshalIndent(r, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}

func loadReport(path string) (*report, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	r := new(report)
	if err := json.Unmarshal(b, r); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
