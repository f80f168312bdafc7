// The command line: what `miharu --help` shows.
#pragma once

namespace miharu::app {

// Parses the arguments and runs the command. The process's exit status.
int run_command_line(int argc, char** argv);

}  // namespace miharu::app
