// The sections of the configuration file, one reader each.
#pragma once

#include <map>
#include <string>

#include "config/field.hpp"
#include "config/settings.hpp"

namespace backedpipe::config {

// The addresses that this daemon will listen on; finds two settings that name the same one.
// Lives as long as the parse.
class ListenPlaces {
 public:
  // Reports an error when an earlier setting has the same address. Port 0 never collides.
  void claim(const Field& field, const Address& address);

 private:
  std::map<std::string, std::string> pointers_;  // canonical address to the setting that has it
};

// What the sections share while they are read.
struct ReadContext {
  std::string folder;  // of the configuration file; relative paths are relative to it
  ListenPlaces listens;
};

// Each reads one section of the file into its part of the settings and reports what is wrong; a
// part that is wrong keeps its default. An absent section is not read at all.
void read_control(const Field& field, ReadContext& context, ControlSettings& control);
void read_metrics(const Field& field, ReadContext& context, MetricsSettings& metrics);
void read_log(const Field& field, LogSettings& log);
void read_limits(const Field& field, Limits& limits);
void read_liveness(const Field& field, LivenessSettings& liveness);

// Peers, tunnels, accept and services refer to each other, so they are read together.
void read_routes(ObjectReader& root, ReadContext& context, Settings& settings);

}  // namespace backedpipe::config
