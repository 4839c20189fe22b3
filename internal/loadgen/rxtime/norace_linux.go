//go:build !race

package rxtime

func raceWrite() {}

func raceRead(uintptr) {}
