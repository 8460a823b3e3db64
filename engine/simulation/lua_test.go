package simulation

import (
	"bufio"
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/alicebob/miniredis/v2/server"
	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"
)

// interpreter runs the log's scripts as Redis does. The one in miniredis builds a
// new one for each call, which takes longer than the script; this one is used again.
type interpreter struct {
	state *lua.LState
	call  func(args []string) []byte // runs one command and returns its reply
}

var interpreters = sync.Pool{New: func() any {
	l := &interpreter{state: lua.NewState(lua.Options{SkipOpenLibs: true})}
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString, lua.MathLibName: lua.OpenMath,
	} {
		l.state.Push(l.state.NewFunction(open))
		l.state.Push(lua.LString(name))
		l.state.Call(1, 0)
	}
	redis := l.state.NewTable()
	redis.RawSetString("call", l.state.NewFunction(l.redisCall))
	l.state.SetGlobal("redis", redis)
	return l
}}

var compiled sync.Map // script text -> *lua.FunctionProto

func compile(text string) *lua.FunctionProto {
	if p, ok := compiled.Load(text); ok {
		return p.(*lua.FunctionProto)
	}
	chunk := must(parse.Parse(strings.NewReader(text), "script"))
	p := must(lua.Compile(chunk, "script"))
	compiled.Store(text, p)
	return p
}

// script runs text with the rest of an EVAL's arguments and returns its reply.
func script(text string, args []string, call func([]string) []byte) []byte {
	l := interpreters.Get().(*interpreter)
	defer interpreters.Put(l)
	l.call = call
	n := must(strconv.Atoi(args[0]))
	l.list("KEYS", args[1:1+n])
	l.list("ARGV", args[1+n:])
	l.state.Push(l.state.NewFunctionFromProto(compile(text)))
	if err := l.state.PCall(0, 1, nil); err != nil {
		return fmt.Appendf(nil, "-ERR %s\r\n", strings.ReplaceAll(err.Error(), "\n", " "))
	}
	v := l.state.Get(-1)
	l.state.SetTop(0)
	return reply(nil, v)
}

func (l *interpreter) list(name string, values []string) {
	t := l.state.CreateTable(len(values), 0)
	for _, v := range values {
		t.Append(lua.LString(v))
	}
	l.state.SetGlobal(name, t)
}

// redisCall is redis.call.
func (l *interpreter) redisCall(s *lua.LState) int {
	args := make([]string, s.GetTop())
	for i := range args {
		args[i] = lua.LVAsString(s.Get(i + 1))
	}
	in := bufio.NewReaderSize(bytes.NewReader(l.call(args)), 256)
	v, err := value(in)
	if err != nil {
		s.RaiseError("%s", err.Error())
	}
	s.Push(v)
	return 1
}

// value reads a reply as a script sees it.
func value(in *bufio.Reader) (lua.LValue, error) {
	kind := must(in.Peek(1))[0]
	switch kind {
	case '+', '-':
		text := strings.TrimSpace(must(in.ReadString('\n'))[1:])
		if kind == '-' {
			return nil, fmt.Errorf("%s", text)
		}
		t := &lua.LTable{}
		t.RawSetString("ok", lua.LString(text))
		return t, nil
	}
	n := must(length(in, kind))
	switch {
	case kind == ':':
		return lua.LNumber(n), nil
	case n < 0:
		return lua.LFalse, nil
	case kind == '$':
		b := make([]byte, n+2)
		for read := 0; read < len(b); {
			read += must(in.Read(b[read:]))
		}
		return lua.LString(b[:n]), nil
	}
	t := &lua.LTable{}
	for range n {
		v, err := value(in)
		if err != nil {
			return nil, err
		}
		t.Append(v)
	}
	return t, nil
}

// reply appends a script's result to b as Redis answers it.
func reply(b []byte, v lua.LValue) []byte {
	switch v := v.(type) {
	case lua.LString:
		return fmt.Appendf(b, "$%d\r\n%s\r\n", len(v), string(v))
	case lua.LNumber:
		return fmt.Appendf(b, ":%d\r\n", int64(v))
	case *lua.LTable:
		if ok := v.RawGetString("ok"); ok != lua.LNil {
			return fmt.Appendf(b, "+%s\r\n", ok.String())
		}
		b = fmt.Appendf(b, "*%d\r\n", v.Len())
		for i := range v.Len() {
			b = reply(b, v.RawGetInt(i+1))
		}
		return b
	}
	return append(b, "$-1\r\n"...)
}

// native runs one command that is no script.
func (r *memoryRedis) native(args []string) []byte {
	var out bytes.Buffer
	peer := server.NewPeer(bufio.NewWriterSize(&out, 256))
	r.mini.Server().Dispatch(peer, args)
	peer.Flush()
	return out.Bytes()
}
