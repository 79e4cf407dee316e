package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// A mutant is one change of a file. The text of its wraps makes the change while the
// program runs, if the mutant is the active one.
type mutant struct {
	file     string // in the package's directory
	line     int
	function string
	operator string
	before   string // the source that is changed, on one line
	again    int    // how many mutants of the function have the same text before this one
	start    int    // of the source that is changed, in the file
	wraps    [3]wrap
}

// A wrap puts text around a part of a file. A "#" in it is the mutant's number.
type wrap struct {
	start, end    int
	before, after string
}

func (m mutant) String() string {
	return fmt.Sprintf("%s:%d: %s", m.file, m.line, m.key())
}

// key names the mutant without its line, for the list of equivalent mutants.
func (m mutant) key() string {
	s := fmt.Sprintf("%s: %s: %s", m.function, m.operator, m.before)
	if m.again > 0 {
		s += fmt.Sprintf(" (%d)", m.again+1)
	}
	return s
}

func (m mutant) compare(n mutant) int {
	return cmp.Or(cmp.Compare(m.file, n.file), cmp.Compare(m.start, n.start), cmp.Compare(m.operator, n.operator))
}

// find returns the mutants of the package in dir, as it is built on this system,
// without generated files.
func find(dir string, files *regexp.Regexp) ([]mutant, error) {
	cmd := exec.Command("go", "list", "-json=GoFiles", ".")
	cmd.Dir = dir
	cmd.Stderr = os.Stderr
	text, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	var list struct{ GoFiles []string }
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, err
	}
	var all []mutant
	for _, name := range list.GoFiles {
		if !files.MatchString(name) {
			continue
		}
		source, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return nil, err
		}
		of, err := mutate(name, source)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	return all, nil
}

// mutate returns the mutants of one file; a generated file has none.
func mutate(name string, source []byte) ([]mutant, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil || ast.IsGenerated(file) {
		return nil, err
	}
	v := &visitor{name: name, source: source, file: fset.File(file.FileStart)}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			v.function = functionName(f)
			ast.Inspect(f.Body, v.visit)
		}
	}
	return v.mutants, nil
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil {
		return f.Name.Name
	}
	t := f.Recv.List[0].Type
	if p, ok := t.(*ast.StarExpr); ok {
		t = p.X
	}
	switch g := t.(type) {
	case *ast.IndexExpr:
		t = g.X
	case *ast.IndexListExpr:
		t = g.X
	}
	return t.(*ast.Ident).Name + "." + f.Name.Name
}

// A visitor gathers the mutants of one function after the other.
type visitor struct {
	name     string
	source   []byte
	file     *token.File
	function string
	fixed    []ast.Stmt // see simple
	mutants  []mutant
}

func (v *visitor) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GenDecl:
		return n.Tok != token.CONST
	case *ast.IfStmt:
		v.negate(n.Cond)
		v.simple(n.Init)
	case *ast.ForStmt:
		if n.Cond != nil {
			v.negate(n.Cond)
		}
		v.simple(n.Init, n.Post)
	case *ast.SwitchStmt:
		v.simple(n.Init)
	case *ast.TypeSwitchStmt:
		v.simple(n.Init)
	case *ast.CommClause:
		v.simple(n.Comm)
	case *ast.BinaryExpr:
		v.binary(n)
	case ast.Stmt:
		if operator := dropped(n); operator != "" && !slices.Contains(v.fixed, n) {
			v.drop(operator, n)
		}
	}
	return true
}

// simple remembers statements that stand where the language allows no if.
func (v *visitor) simple(statements ...ast.Stmt) { v.fixed = append(v.fixed, statements...) }

// dropped returns the name of the mutant without the statement, or "".
func dropped(n ast.Stmt) string {
	switch n := n.(type) {
	case *ast.ExprStmt:
		if _, ok := n.X.(*ast.CallExpr); ok {
			return "drop call"
		}
	case *ast.DeferStmt, *ast.GoStmt:
		return "drop call"
	case *ast.SendStmt:
		return "drop send"
	case *ast.IncDecStmt:
		return "drop increment"
	case *ast.AssignStmt:
		if n.Tok != token.DEFINE && !blank(n) {
			return "drop assignment"
		}
	}
	return ""
}

// blank reports whether the statement assigns to nothing, as `_ = x` does.
func blank(n *ast.AssignStmt) bool {
	for _, l := range n.Lhs {
		if id, ok := l.(*ast.Ident); !ok || id.Name != "_" {
			return false
		}
	}
	return true
}

var operators = map[token.Token]string{
	token.LAND: "||", token.LOR: "&&",
	token.LSS: "<=", token.LEQ: "<", token.GTR: ">=", token.GEQ: ">",
	token.EQL: "!=", token.NEQ: "==",
}

// comparisons names the functions that stand for the operators, in testdata/support/compare.go.
var comparisons = map[token.Token]string{
	token.LSS: "mutateLess", token.LEQ: "mutateLessOrEqual",
	token.GTR: "mutateGreater", token.GEQ: "mutateGreaterOrEqual",
}

func (v *visitor) binary(n *ast.BinaryExpr) {
	to, ok := operators[n.Op]
	if !ok {
		return
	}
	m := v.mutant("put "+to+" in", n)
	switch name := comparisons[n.Op]; {
	case name != "":
		m.wraps[0] = v.wrap(n, name+"(#, ", ")")
		op := v.file.Offset(n.OpPos)
		m.wraps[1] = wrap{op, op + len(n.Op.String()), "/*", "*/,"}
	case n.Op == token.LAND || n.Op == token.LOR: // a || b is !(!a && !b)
		m.wraps[0] = v.wrap(n, "((", ") != mutated(#))")
		m.wraps[1] = v.wrap(n.X, "(", ") != mutated(#)")
		m.wraps[2] = v.wrap(n.Y, "(", ") != mutated(#)")
	default:
		m.wraps[0] = v.wrap(n, "((", ") != mutated(#))")
	}
	v.add(m)
}

// negate leaves out a comparison that has a mutant of its own for that.
func (v *visitor) negate(cond ast.Expr) {
	if b, ok := cond.(*ast.BinaryExpr); ok && (b.Op == token.EQL || b.Op == token.NEQ) {
		return
	}
	m := v.mutant("negate", cond)
	m.wraps[0] = v.wrap(cond, "((", ") != mutated(#))")
	v.add(m)
}

func (v *visitor) drop(operator string, n ast.Node) {
	m := v.mutant(operator, n)
	m.wraps[0] = v.wrap(n, "if !mutated(#) { ", " }")
	v.add(m)
}

func (v *visitor) wrap(n ast.Node, before, after string) wrap {
	return wrap{v.file.Offset(n.Pos()), v.file.Offset(n.End()), before, after}
}

func (v *visitor) add(m mutant) {
	text, again := m.key(), 0
	for _, other := range v.mutants {
		if other.again = 0; other.key() == text {
			again++
		}
	}
	m.again = again
	v.mutants = append(v.mutants, m)
}

func (v *visitor) mutant(operator string, n ast.Node) mutant {
	start, end := v.file.Offset(n.Pos()), v.file.Offset(n.End())
	return mutant{
		file:     v.name,
		line:     v.file.Line(n.Pos()),
		function: v.function,
		operator: operator,
		before:   shorten(strings.Join(strings.Fields(string(v.source[start:end])), " ")),
		start:    start,
	}
}

// shorten cuts a text so that an entry of the list stays one readable line.
func shorten(s string) string {
	if r := []rune(s); len(r) > 80 {
		return string(r[:80]) + "…"
	}
	return s
}
