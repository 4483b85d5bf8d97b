"""From agreements and usage to what is owed: the periods that have begun, and the lines of each."""
