package gen

import (
	"go/ast"
	"go/parser"
	"go/token"
	"sort"
	"strings"
	"testing"
)

func TestUnexport(t *testing.T) {
	for name, want := range map[string]string{
		"Task":       "task",
		"TTRPCTask":  "ttrpcTask",
		"HTTP":       "http",
		"S":          "s",
		"ABService":  "abService",
		"lower":      "lower",
		"snake_case": "snake_case",
		"A_B":        "a_B",
		"V1Tasks":    "v1Tasks",
		"":           "",
	} {
		if got := unexport(name); got != want {
			t.Errorf("unexport(%q) is %q, want %q", name, got, want)
		}
	}
}

func TestComment(t *testing.T) {
	for _, test := range []struct {
		name, text, fallback, deprecated, want string
	}{
		{name: "none"},
		{"one line", " Text.\n", "x", "", "// Text.\n"},
		{"paragraphs", " One.\n\n Two.\n", "", "", "// One.\n//\n// Two.\n"},
		{"fallback", "", "S is a service.", "", "// S is a service.\n"},
		{"deprecated", "", "", "Not now.", "// Deprecated: Not now.\n"},
		{"a paragraph of its own", " Text.\n", "", "Not now.", "// Text.\n//\n// Deprecated: Not now.\n"},
		{"says so itself", " Text.\n\n Deprecated: Use U.\n", "", "Not now.", "// Text.\n//\n// Deprecated: Use U.\n"},
		{"only mentions it", " Text.\n Deprecated: no paragraph.\n", "", "Not now.", "// Text.\n// Deprecated: no paragraph.\n//\n// Deprecated: Not now.\n"},
		{"no instruction to Go", "go:generate rm\n", "", "", "// go:generate rm\n"},
		{"no line number", "line x.go:1\n", "", "", "// line x.go:1\n"},
		{"indented", "\tcode()\n", "", "", "//\tcode()\n"},
		{"characters that Go refuses", "\ufeff One\x00 t\xff\xfewo.\n \xef\xbb", "", "", "// One two.\n"},
		{"nothing but those", "\ufeff\x00\xff", "S is a service.", "", "// S is a service.\n"},
		{"an instruction behind one", "\ufeffgo:generate rm\n", "", "", "// go:generate rm\n"},
		{"deprecated in a file of such a name", "", "", "In a\ufeff\xff.proto.", "// Deprecated: In a.proto.\n"},
		{"carriage returns", " One.\r\n Two.\r\n", "", "", "// One.\n// Two.\n"},
	} {
		if got := comment(test.text, test.fallback, test.deprecated); got != test.want {
			t.Errorf("%s: got\n%s\nwant\n%s", test.name, got, test.want)
		}
	}
}

func TestUniqueNames(t *testing.T) {
	for _, test := range []struct{ names, goNames, want string }{
		{"A B", "A B", "A B"},
		{"get Get", "Get Get", "Get_ Get"},
		{"Get get", "Get Get", "Get Get_"},
		{"get_it getIt", "GetIt GetIt", "GetIt GetIt_"},
		{"get Get Get_", "Get Get Get_", "Get__ Get Get_"},
	} {
		names, goNames := strings.Fields(test.names), strings.Fields(test.goNames)
		got := strings.Join(uniqueNames(len(names), func(i int) (string, string) { return goNames[i], names[i] }), " ")
		if got != test.want {
			t.Errorf("%s: got %s, want %s", test.names, got, test.want)
		}
	}
}

// A service of every kind of method, in both styles, with names that hide the
// variables of the stubs.
func testFile(style Style) *File {
	return &File{
		Style: style,
		Services: []*Service{{
			GoName:   "S",
			FullName: "p.S",
			Methods: []*Method{
				{GoName: "U", Name: "U", Input: "req.In", Output: "resp.Out"},
				{GoName: "L", Name: "l", Input: "err.In", Output: "ctx.Out"},
				{GoName: "SS", Name: "SS", Input: "svc.In", Output: "srv.Out", ServerStreams: true},
				{GoName: "CS", Name: "CS", Input: "stream.In", Output: "desc.Out", ClientStreams: true},
				{GoName: "BS", Name: "BS", Input: "c.In", Output: "unmarshal.Out", ClientStreams: true, ServerStreams: true},
			},
		}},
		Qualify: func(importPath, name string) string {
			return importPath[strings.LastIndexByte(importPath, '/')+1:] + "." + name
		},
	}
}

func parse(t *testing.T, f *File) *ast.File {
	t.Helper()
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), "stubs.go", "package p\n"+text, parser.ParseComments)
	if err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	return file
}

// No variable may have the name of a package that is used where the variable is
// in scope; the parser resolves such a use to the variable.
func TestVariablesHideNoPackage(t *testing.T) {
	for _, style := range []Style{ProtobufGo, Gogo} {
		ast.Inspect(parse(t, testFile(style)), func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok || sel.Sel.Name != "In" && sel.Sel.Name != "Out" {
				return true
			}
			if pkg := sel.X.(*ast.Ident); pkg.Obj != nil {
				t.Errorf("style %d: the package of %s.%s is hidden by a variable", style, pkg.Name, sel.Sel.Name)
			}
			return true
		})
	}
}

// Exported names do not change: programs use them.
func TestDeclaredNames(t *testing.T) {
	streams := testFile(ProtobufGo)
	unary := testFile(ProtobufGo)
	unary.Services[0].Methods = unary.Services[0].Methods[:1]
	collision := testFile(ProtobufGo)
	collision.Taken = []string{"SService", "S_SSClient", "sClient", "S_SS_FullMethodName"}
	for _, test := range []struct {
		name string
		file *File
		want string
	}{
		{"unary", unary, "NewSClient RegisterSService SService S_U_FullMethodName"},
		{"streams", streams, "NewSClient RegisterSService SClient SService S_BSClient S_BSServer S_BS_FullMethodName " +
			"S_CSClient S_CSServer S_CS_FullMethodName S_L_FullMethodName S_SSClient S_SSServer S_SS_FullMethodName S_U_FullMethodName"},
		{"collision", collision, "NewSClient RegisterSService SClient SService_ S_BSClient S_BSServer S_BS_FullMethodName " +
			"S_CSClient S_CSServer S_CS_FullMethodName S_L_FullMethodName S_SSClient_ S_SSServer S_SS_FullMethodName_ S_U_FullMethodName"},
	} {
		var got []string
		file := parse(t, test.file)
		for name, obj := range file.Scope.Objects {
			if ast.IsExported(name) && (obj.Kind == ast.Typ || obj.Kind == ast.Fun || obj.Kind == ast.Con) {
				got = append(got, name)
			}
		}
		if test.name == "collision" && file.Scope.Lookup("sClient") != nil {
			t.Error("the stubs declare sClient, which is taken")
		}
		if got := sorted(got); got != test.want {
			t.Errorf("%s: got %s, want %s", test.name, got, test.want)
		}
	}
}

// The service without streams must be registered in the way that releases
// without streams understand.
func TestGogoRegistration(t *testing.T) {
	f := testFile(Gogo)
	f.Services[0].Methods = f.Services[0].Methods[:2]
	text, err := f.Text()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, `Register("p.S", map[string]ttrpc.Method{`) || strings.Contains(text, "ServiceDesc") {
		t.Errorf("unary service not registered with Register:\n%s", text)
	}
	text, err = testFile(Gogo).Text()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(text, `RegisterService("p.S", &ttrpc.ServiceDesc{`) {
		t.Errorf("service with streams not registered with RegisterService:\n%s", text)
	}
}

func TestNoServices(t *testing.T) {
	f := &File{Qualify: func(string, string) string {
		t.Error("a file without services imports something")
		return ""
	}}
	if text, err := f.Text(); err != nil || text != "" {
		t.Errorf("got %q and error %v", text, err)
	}
}

func sorted(names []string) string {
	sort.Strings(names)
	return strings.Join(names, " ")
}
