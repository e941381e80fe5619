//go:build !linux

package main

func probe() {}

func confined() {}
