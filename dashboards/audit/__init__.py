"""What a person reads of an audit: its values, words, pages and messages. ``monitor`` makes it."""
