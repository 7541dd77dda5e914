// DescriptorPlan: what a daemon may do at most with the file descriptors that it is allowed. Every
// session counts with its link, whether it has one at present or not: so the sessions can get their
// links back, and the connections that are not sessions (the control socket, metrics, handshakes,
// links that are being closed) have descriptors of their own. Nothing is counted while the daemon
// runs. A value, made at the start and at each reload.
//
// Not covered: a dial may have several tries under way at a time, up to three for each address of
// its peer, or one for each of its target, and only one of them is in the plan. How many addresses
// a name has is not known beforehand. A try that gets no descriptor fails like one that is refused.
#pragma once

#include <cstddef>

namespace backedpipe {

struct DescriptorDemand {
  std::size_t limit = 0;         // how many descriptors the process may have
  std::size_t fixed = 0;         // open as long as the daemon runs: event loops, listeners, its log
  bool dials = false;            // it has tunnels
  bool accepts = false;          // it accepts links
  std::size_t max_sessions = 0;  // in each of these roles
  std::size_t max_handshakes = 0;
  std::size_t spare_links = 0;  // of all peers and all workers
};

struct DescriptorPlan {
  static constexpr std::size_t kMostControl = 64;
  static constexpr std::size_t kMostMetrics = 32;
  static constexpr std::size_t kMostClosing = 1024;
  // A dialled session: its application, its link, and one that is tried beside it. An accepted
  // session: its target and its link.
  static constexpr std::size_t kPerDialledSession = 3;
  static constexpr std::size_t kPerAcceptedSession = 2;

  std::size_t control = kMostControl;  // connections to the control socket
  std::size_t metrics = kMostMetrics;  // connections to the metrics
  std::size_t closing = kMostClosing;  // links that are being closed
  std::size_t handshakes = 0;
  std::size_t spare_links = 0;
  std::size_t dialled_sessions = 0;
  std::size_t accepted_sessions = 0;
  // The limit at which sessions, handshakes and spare links would be as many as demanded.
  std::size_t needed = 0;
};

DescriptorPlan plan_descriptors(const DescriptorDemand& demand);

// How many of `max_sessions` one identity may have if the settings do not say. An identity that is
// the only one may have all. Of several, none may lock out the others.
std::size_t default_sessions_per_identity(std::size_t max_sessions, bool only_identity);

}  // namespace backedpipe
