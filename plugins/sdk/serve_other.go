//go:build !unix

package sdk

func killGroup() {}

func outliveReaders() {}
