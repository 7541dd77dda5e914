// What the settings say about sessions and the threads that serve them.
#pragma once

#include <algorithm>
#include <cstddef>
#include <thread>

#include "config/settings.hpp"
#include "session/session.hpp"

namespace backedpipe {

inline std::size_t worker_count(const Settings& settings) {
  return settings.workers > 0 ? settings.workers
                              : std::max(1U, std::thread::hardware_concurrency());
}

inline SessionOptions session_options(const Settings& settings) {
  SessionOptions options;
  options.pipe.replay_buffer_bytes = settings.limits.replay_buffer_bytes;
  options.pipe.max_window_bytes = settings.limits.max_window_bytes;
  options.liveness = {.ping = settings.liveness.ping,
                      .suspect = settings.liveness.suspect,
                      .dead = settings.liveness.dead};
  options.application_keepalive = settings.liveness.application_keepalive;
  options.resume_timeout = settings.limits.resume_timeout;
  options.reuse_links = settings.limits.spare_links > 0;
  return options;
}

}  // namespace backedpipe
