package gen

// stubs are the templates of the generated code. They write local variables as {{req}},
// because a package that the file imports may have the same name.
//
// The generated code uses only the Go version and the API of the oldest supported programs:
// no type parameters, no any.
const stubs = `
{{- define "service"}}
{{- if .Methods}}
// Full names of the methods of {{.FullName}}, as interceptors are told them.
const (
{{- range .Methods}}
	{{.FullName}} = {{printf "/%s/%s" .Service.FullName .Name | quote}}
{{- end}}
)
{{end}}
{{serviceComment . -}}
type {{.Interface}} interface {
{{- range .Methods}}
	{{methodComment .}}	{{serverSignature .}}
{{- end}}
}
{{range .Methods}}{{if .Streams}}{{template "serverStream" .}}{{end}}{{end}}
{{comment . "" "%s makes srv serve %s with svc." .Register .FullName -}}
func {{.Register}}({{srv}} *{{ttrpc "Server"}}, {{svc}} {{.Interface}}) {
	if {{svc}} == nil {
		panic({{printf "ttrpc: nil implementation of service %s registered" .FullName | quote}})
	}
{{- if unaryOnly .}}
	{{srv}}.Register({{quote .FullName}}, map[string]{{ttrpc "Method"}}{
	{{- range .Methods}}{{template "unaryHandler" .}}{{end}}
	})
{{- else}}{{template "registerService" .}}{{end}}
}
{{if ne .Client .Interface}}
{{clientComment . -}}
type {{.Client}} interface {
{{- range .Methods}}
	{{methodComment .}}	{{clientSignature . ""}}
{{- end}}
}
{{end}}
type {{.Struct}} struct {
	client {{clientType}}
}

{{comment . "" "%s returns a client that calls %s over client." .New .FullName -}}
func {{.New}}(client {{clientType}}) {{.Client}} {
	return &{{.Struct}}{client: client}
}
{{range .Methods}}
{{- if .Streams}}{{template "streamCall" .}}{{else}}{{template "unaryCall" .}}{{end}}
{{- end}}
{{- end}}

{{- define "registerService"}}
{{- $aliases := false}}{{range .Methods}}{{if .Alias}}{{$aliases = true}}{{end}}{{end}}
{{- if $aliases}}
	{{desc}} := {{template "serviceDesc" .}}
	// Earlier releases registered these methods under their Go names.
{{- range .Methods}}{{if .Alias}}
	{{- $table := "Methods"}}{{if .Streams}}{{$table = "Streams"}}{{end}}
	{{desc}}.{{$table}}[{{quote .Alias}}] = {{desc}}.{{$table}}[{{quote .Name}}]
{{- end}}{{end}}
	{{srv}}.RegisterService({{quote .FullName}}, {{desc}})
{{- else}}
	{{srv}}.RegisterService({{quote .FullName}}, {{template "serviceDesc" .}})
{{- end}}
{{- end}}

{{- define "serviceDesc" -}}
{{- $unary := false}}{{$streams := false}}
{{- range .Methods}}{{if .Streams}}{{$streams = true}}{{else}}{{$unary = true}}{{end}}{{end -}}
&{{ttrpc "ServiceDesc"}}{
{{- if $unary}}
		Methods: map[string]{{ttrpc "Method"}}{
		{{- range .Methods}}{{if not .Streams}}{{template "unaryHandler" .}}{{end}}{{end}}
		},
{{- end}}
{{- if $streams}}
		Streams: map[string]{{ttrpc "Stream"}}{
		{{- range .Methods}}{{if .Streams}}{{template "streamHandler" .}}{{end}}{{end}}
		},
{{- end}}
	}
{{- end}}

{{- define "unaryHandler"}}
	{{quote .Name}}: func({{ctx}} {{context}}, {{unmarshal}} func(interface{}) error) (interface{}, error) {
		{{req}} := new({{.Input}})
		if {{err}} := {{unmarshal}}({{req}}); {{err}} != nil {
			return nil, {{err}}
		}
		return {{svc}}.{{.GoName}}({{ctx}}, {{req}})
	},
{{- end}}

{{- define "streamHandler"}}
	{{quote .Name}}: {
		Handler: func({{ctx}} {{context}}, {{stream}} {{ttrpc "StreamServer"}}) (interface{}, error) {
		{{- if .ClientStreams}}
			return {{if .ServerStreams}}nil, {{end}}{{svc}}.{{.GoName}}({{ctx}}, &{{.ServerStruct}}{ {{stream}} })
		{{- else}}
			{{req}} := new({{.Input}})
			if {{err}} := {{stream}}.RecvMsg({{req}}); {{err}} != nil {
				return nil, {{err}}
			}
			return nil, {{svc}}.{{.GoName}}({{ctx}}, {{req}}, &{{.ServerStruct}}{ {{stream}} })
		{{- end}}
		},
		{{- if .ClientStreams}}
		StreamingClient: true,
		{{- end}}
		{{- if .ServerStreams}}
		StreamingServer: true,
		{{- end}}
	},
{{- end}}

{{- define "unaryCall"}}
func ({{c}} *{{.Service.Struct}}) {{clientSignature . "named"}} {
	{{resp}} := new({{.Output}})
	if {{err}} := {{c}}.client.Call({{ctx}}, {{quote .Service.FullName}}, {{quote .Name}}, {{req}}, {{resp}}); {{err}} != nil {
		return nil, {{err}}
	}
	return {{resp}}, nil
}
{{end}}

{{- define "streamCall"}}
func ({{c}} *{{.Service.Struct}}) {{clientSignature . "named"}} {
	{{desc}} := &{{ttrpc "StreamDesc"}}{
		{{- if .ClientStreams}}StreamingClient: true{{end}}
		{{- if .ClientStreams | and .ServerStreams}}, {{end}}
		{{- if .ServerStreams}}StreamingServer: true{{end -}}
	}
	{{stream}}, {{err}} := {{c}}.client.NewStream({{ctx}}, {{desc}}, {{quote .Service.FullName}}, {{quote .Name}}, {{if .ClientStreams}}nil{{else}}{{req}}{{end}})
	if {{err}} != nil {
		return nil, {{err}}
	}
	return &{{.ClientStruct}}{ {{stream}} }, nil
}

{{streamComment . .ClientStream "client" -}}
type {{.ClientStream}} interface {
	{{- if .ClientStreams}}
	Send(*{{.Input}}) error
	{{- end}}
	{{- if .ServerStreams}}
	Recv() (*{{.Output}}, error)
	{{- else}}
	CloseAndRecv() (*{{.Output}}, error)
	{{- end}}
	{{ttrpc "ClientStream"}}
}

type {{.ClientStruct}} struct {
	{{ttrpc "ClientStream"}}
}
{{if .ClientStreams}}
func ({{c}} *{{.ClientStruct}}) Send({{req}} *{{.Input}}) error {
	return {{c}}.ClientStream.SendMsg({{req}})
}
{{end}}
{{- if .ServerStreams}}
func ({{c}} *{{.ClientStruct}}) Recv() (*{{.Output}}, error) {
{{- else}}
func ({{c}} *{{.ClientStruct}}) CloseAndRecv() (*{{.Output}}, error) {
	if {{err}} := {{c}}.ClientStream.CloseSend(); {{err}} != nil {
		return nil, {{err}}
	}
{{- end}}
	{{resp}} := new({{.Output}})
	if {{err}} := {{c}}.ClientStream.RecvMsg({{resp}}); {{err}} != nil {
		return nil, {{err}}
	}
	return {{resp}}, nil
}
{{end}}

{{- define "serverStream"}}
{{streamComment . .ServerStream "server" -}}
type {{.ServerStream}} interface {
	{{- if .ServerStreams}}
	Send(*{{.Output}}) error
	{{- end}}
	{{- if .ClientStreams}}
	Recv() (*{{.Input}}, error)
	{{- end}}
	{{ttrpc "StreamServer"}}
}

type {{.ServerStruct}} struct {
	{{ttrpc "StreamServer"}}
}
{{if .ServerStreams}}
func ({{s}} *{{.ServerStruct}}) Send({{resp}} *{{.Output}}) error {
	return {{s}}.StreamServer.SendMsg({{resp}})
}
{{end}}
{{- if .ClientStreams}}
func ({{s}} *{{.ServerStruct}}) Recv() (*{{.Input}}, error) {
	{{req}} := new({{.Input}})
	if {{err}} := {{s}}.StreamServer.RecvMsg({{req}}); {{err}} != nil {
		return nil, {{err}}
	}
	return {{req}}, nil
}
{{end}}
{{- end}}
`
