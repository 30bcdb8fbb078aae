"""Which incidents explain which others away: the rules of all, who depends on whom, and what a configuration adds."""
