"""One module for each section; a section is a function of the results."""
