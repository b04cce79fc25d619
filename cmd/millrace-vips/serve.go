//go:build vips

package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/millrace/millrace/internal/raster/order"
)

// engine does what orders ask.
type engine interface {
	hello() order.Hello
	render(o order.Order, data []byte) ([]picture, error)
	encode(o order.Order, pixels []byte) (picture, error)
}

// picture is an engine's own picture, in memory that is given back by free.
type picture struct {
	order.Picture
	free func()
}

// serve answers orders, one at a time, until the worker closes its end.
func serve(in io.Reader, out io.Writer, e engine) error {
	if err := order.Write(out, e.hello(), 0); err != nil {
		return fmt.Errorf("say hello: %w", err)
	}
	for {
		var o order.Order
		body, err := order.Read(in, &o, order.MaxOutput)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		// The input of every order is forgotten with it: what a stranger sent stays in no buffer that the next one uses.
		data := make([]byte, body)
		if _, err := io.ReadFull(in, data); err != nil {
			return fmt.Errorf("read the input: %w", err)
		}
		if err := answer(out, o, data, e); err != nil {
			return err
		}
	}
}

func answer(out io.Writer, o order.Order, data []byte, e engine) error {
	pictures, fault := perform(o, data, e)
	defer func() {
		for _, p := range pictures {
			p.free()
		}
	}()
	a, size := order.Answer{Resident: resident()}, int64(0)
	if fault != nil {
		a.Error = fault.Error()
	}
	for _, p := range pictures {
		a.Pictures = append(a.Pictures, p.Picture)
		size += p.Bytes
	}
	if err := order.Write(out, a, size); err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	for _, p := range pictures {
		if _, err := out.Write(p.Data); err != nil {
			return fmt.Errorf("answer: %w", err)
		}
	}
	return nil
}

func perform(o order.Order, data []byte, e engine) ([]picture, error) {
	if err := o.Check(int64(len(data))); err != nil {
		return nil, err
	}
	if err := limit(o.Memory, o.Seconds); err != nil {
		return nil, err
	}
	if o.Op == order.Encode {
		p, err := e.encode(o, data)
		if err != nil {
			return nil, err
		}
		return []picture{p}, nil
	}
	return e.render(o, data)
}
