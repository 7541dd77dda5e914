#include "config/parse_settings.hpp"

#include <filesystem>
#include <utility>

#include "config/document.hpp"
#include "config/field.hpp"
#include "config/readers.hpp"

namespace backedpipe {

Checked<Settings, ConfigErrors> parse_settings(std::string_view text,
                                               const std::string& file_name) {
  using Parsed = Checked<Settings, ConfigErrors>;
  auto document = config::parse_document(text, file_name);
  if (!document) return Parsed::failure({document.error()});

  config::Report report(file_name);
  report.add(std::move(document->errors));
  config::ReadContext context{.folder = std::filesystem::path(file_name).parent_path().string(),
                              .listens = {}};
  config::ObjectReader root(config::Field{&report, &document->root, ""});

  Settings settings;
  if (const auto f = root.find("control")) read_control(*f, context, settings.control);
  if (const auto f = root.find("metrics")) read_metrics(*f, context, settings.metrics);
  if (const auto f = root.find("log")) read_log(*f, settings.log);
  if (const auto f = root.find("workers")) {
    constexpr config::CountRange kWorkers{1, 256};
    const auto count = read_count(*f, kWorkers);
    if (count) settings.workers = static_cast<unsigned>(*count);
  }
  if (const auto f = root.find("limits")) read_limits(*f, settings.limits);
  if (const auto f = root.find("liveness")) read_liveness(*f, settings.liveness);
  read_routes(root, context, settings);
  root.finish();

  if (!report.empty()) return Parsed::failure(report.take());
  return settings;
}

}  // namespace backedpipe
