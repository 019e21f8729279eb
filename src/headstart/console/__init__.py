"""What the command line shows: tables on standard output, progress on standard error.

Importing this loads nothing slow, so that the first line can be shown at once.
"""

from headstart.console.live import listening as listening
from headstart.console.tables import folds_words as folds_words
from headstart.console.tables import output as output
from headstart.console.tables import print_catalog as print_catalog
from headstart.console.tables import print_json as print_json
from headstart.console.tables import print_layout as print_layout
from headstart.console.tables import print_line as print_line
from headstart.console.tables import print_results as print_results
from headstart.console.tables import print_set as print_set
from headstart.console.tables import table as table
