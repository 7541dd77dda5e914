// For systems without an implementation: reports nothing.
#include "net/monitor/network_monitor.hpp"

namespace backedpipe {

class NetworkMonitor::Watch {};

NetworkMonitor::NetworkMonitor(boost::asio::io_context&) {}
NetworkMonitor::~NetworkMonitor() = default;
void NetworkMonitor::start(Changed) {}
void NetworkMonitor::stop() {}

}  // namespace backedpipe
