package zaptest

// question is a request whose verdict is known.
type question struct {
	request
	accepted bool
}

// alone sends the requests one after the other and returns each with its verdict.
func (t *trial) alone(requests []request) ([]question, error) {
	var questions []question
	for _, r := range requests {
		got, err := t.ask(r)
		if err != nil {
			return nil, err
		}
		questions = append(questions, question{r, got.accepts()})
	}
	return questions, nil
}

// questions returns requests of all clients and of a stranger, with their verdicts.
func (t *trial) questions() ([]question, error) {
	stranger := t.request("KRYPTON")
	if t.User != "" {
		stranger = t.plain(t.User, wrongPassword(t.Password))
	}
	return t.alone(append(t.clients(), stranger))
}

// admitted returns requests of the clients that get in.
func (t *trial) admitted() ([]request, error) {
	questions, err := t.alone(t.clients())
	if err != nil {
		return nil, err
	}
	var admitted []request
	for _, q := range questions {
		if q.accepted {
			admitted = append(admitted, q.request)
		}
	}
	return admitted, unless(len(admitted) > 0, "no client gets in")
}
