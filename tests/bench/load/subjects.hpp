// What bench_load can do; each takes the arguments behind its name.
#pragma once

#include <map>
#include <string>

namespace backedpipe::bench {

// --name value…
using Options = std::map<std::string, std::string>;

// The target of all others: echoes, receives, sends. Prints its port, and runs until it is ended.
void serve(const Options& options);
// Bulk over several connections at once, every byte checked at its receiver.
void bulk(const Options& options);
// Messages that are echoed, one at a time on each connection.
void exchange(const Options& options);
// New connections, each for one byte there and back.
void connections(const Options& options);
// Idle connections, until its input ends.
void hold(const Options& options);
// Forwards connections, and lets itself be cut.
void relay(const Options& options);
// A wire with a delay between two network namespaces.
void wire(const Options& options);

const std::string& text_option(const Options& options, const std::string& name);
double number_option(const Options& options, const std::string& name, double otherwise);

}  // namespace backedpipe::bench
