// Package handlers holds how the work of each task type is done: one file per task type, a function over streams.
//
// Handlers know package tasks and nothing else of ours: not HTTP, not the queue, not SQL. Engines that a build may or may not have come in
// through Deps as small interfaces declared here.
package handlers

import "github.com/millrace/millrace/tasks"

// Deps are what handlers need from the process they run in.
type Deps struct {
	Images Images
	Engine tasks.Engine // what Images is: for processes that describe types; those that do the work may leave it out
}

// All is every task type of the product: a new one is a declaration in tasks, a handler here, and one line.
func All(d Deps) []tasks.Type {
	pictures := tasks.Resize()
	pictures.Engine = d.Engine
	return []tasks.Type{
		tasks.Bind(pictures, resize(d.Images)),
		tasks.Bind(tasks.Info(), info(d.Images)),
		tasks.Bind(tasks.Compress(), compress),
		tasks.Bind(tasks.Decompress(), decompress),
		tasks.Bind(tasks.Stats(), stats),
		tasks.Bind(tasks.Checksum(), checksum),
	}
}
