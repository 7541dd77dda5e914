// For systems without a service manager that takes notifications.
#include "daemon/service_manager.hpp"

namespace backedpipe {

ServiceManager::ServiceManager(boost::asio::io_context& io)
    : watchdog_timer_(io), status_timer_(io) {}

ServiceManager::~ServiceManager() = default;

void ServiceManager::ready(std::function<std::string()>, Ask) {}
void ServiceManager::reloading() {}
void ServiceManager::reloaded() {}
void ServiceManager::stopping() {}
void ServiceManager::parking() {}

}  // namespace backedpipe
