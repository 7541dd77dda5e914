// bench_load: makes the load of `./dev bench`, and checks what arrives. One subject a file.
#include <csignal>
#include <cstdio>
#include <cstdlib>

#include "socket.hpp"
#include "subjects.hpp"

namespace backedpipe::bench {
namespace {

struct Subject {
  void (*run)(const Options&);
  const char* options;
};

const std::map<std::string, Subject>& subjects() {
  static const std::map<std::string, Subject> all{
      {"serve", {serve, "[--listen HOST:PORT]"}},
      {"bulk", {bulk, "--to HOST:PORT [--streams N] [--up BYTES] [--down BYTES]"}},
      {"exchange",
       {exchange, "--to HOST:PORT [--connections N] [--bytes N] [--seconds N | --count N]"}},
      {"connections", {connections, "--to HOST:PORT [--parallel N] [--seconds N | --count N]"}},
      {"hold", {hold, "--to HOST:PORT --count N"}},
      {"relay", {relay, "--listen HOST:PORT --to HOST:PORT"}},
      {"wire", {wire, "--near PID:DEVICE --far PID:DEVICE --delay-ms N"}},
  };
  return all;
}

[[noreturn]] void usage() {
  for (const auto& [name, subject] : subjects())
    std::fprintf(stderr, "usage: bench_load %s %s\n", name.c_str(), subject.options);
  std::exit(2);
}

}  // namespace

const std::string& text_option(const Options& options, const std::string& name) {
  const auto found = options.find(name);
  if (found == options.end()) fail("--" + name + " is missing");
  return found->second;
}

double number_option(const Options& options, const std::string& name, double otherwise) {
  const auto found = options.find(name);
  return found == options.end() ? otherwise : std::strtod(found->second.c_str(), nullptr);
}

int run(int count, char** arguments) {
  if (count < 2 || count % 2 != 0) usage();
  const auto subject = subjects().find(arguments[1]);
  if (subject == subjects().end()) usage();
  Options options;
  for (int i = 2; i < count; i += 2) {
    const std::string name = arguments[i];
    if (name.rfind("--", 0) != 0) usage();
    options[name.substr(2)] = arguments[i + 1];
  }
  std::signal(SIGPIPE, SIG_IGN);
  raise_descriptor_limit();
  subject->second.run(options);
  return 0;
}

}  // namespace backedpipe::bench

int main(int count, char** arguments) {
  return backedpipe::bench::run(count, arguments);
}
