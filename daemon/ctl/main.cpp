// backedpipctl: queries and controls a running backedpipd through its control socket.
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "daemon/ctl/commands.hpp"
#include "daemon/ctl/options.hpp"

int main(int argc, char** argv) {
  using namespace backedpipe::ctl;
  try {
    const auto options =
        parse_options(std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc));
    if (!options) {
      std::cerr << "backedpipctl: " << options.error() << "\nTry 'backedpipctl --help'.\n";
      return static_cast<int>(ExitCode::usage);
    }
    return static_cast<int>(run(*options));
  } catch (const std::exception& error) {
    std::cerr << "backedpipctl: " << error.what() << '\n';
    return static_cast<int>(ExitCode::failed);
  }
}
