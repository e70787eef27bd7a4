// Command modprobe loads kernel modules.
package main

func main() {}
