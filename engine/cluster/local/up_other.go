//go:build !linux

package local

import (
	"context"
	"errors"
	"io"
)

var errLinux = errors.New("local clusters run on Linux: on Windows RabbitMQ is a service of the machine")

// Up needs Linux.
func (c *Cluster) Up(context.Context, io.Writer) error { return errLinux }

// Down needs Linux.
func (c *Cluster) Down(context.Context, io.Writer) error { return errLinux }

// Stop needs Linux.
func (c *Cluster) Stop(context.Context, *Node) error { return errLinux }

// Kill needs Linux.
func (c *Cluster) Kill(context.Context, *Node) error { return errLinux }

// Start needs Linux.
func (c *Cluster) Start(context.Context, *Node) error { return errLinux }
