"""Generated Unicode tables. The licence of the data is LICENSE-UNICODE.txt in this folder."""
