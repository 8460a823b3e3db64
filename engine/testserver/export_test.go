package testserver

// Family lists the pids of a node, of all below it and of its port mapper.
func Family(s *RabbitServer) []int {
	pids := []int{s.PID()}
	for _, m := range descendants(s.PID()) {
		pids = append(pids, m.pid)
	}
	for _, h := range s.helpers {
		pids = append(pids, h.pid())
	}
	return pids
}
