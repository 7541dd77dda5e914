// Compares a session with what the next process would know of it, if this one ended now.
#pragma once

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "session/recover.hpp"
#include "session/session.hpp"

namespace backedpipe::test {

// In what the two differ; nothing if they agree.
inline std::optional<std::string_view> difference(const Session& session,
                                                  const Recovered& recovered) {
  const SessionRecord& known = recovered.session;
  SessionRecord is = session.record();
  // What is not kept: inbound bytes are asked for again, and a link is lost in any case.
  PipeRecord& pipe = is.pipe;
  pipe.reader.end_offset = pipe.reader.begin_offset;
  pipe.reader.fin_received = pipe.reader.end_delivered;
  pipe.reader.window_size_bytes = known.pipe.reader.window_size_bytes;
  pipe.reader.window_limit = session.pipe().reader().window().stated_limit();
  // Frames that wait for the link may still be sent.
  if (!pipe.writer.discarded && known.pipe.writer.highest_sent < pipe.writer.highest_sent) {
    return "more was sent than it says";
  }
  pipe.writer.highest_sent = known.pipe.writer.highest_sent;
  // The peer may have given no reason.
  if (pipe.reset_reason == Reason::none) pipe.reset_reason = Reason::application_reset;
  if (pipe.writer != known.pipe.writer) return "another outbound stream";
  if (pipe.reader != known.pipe.reader) return "another inbound stream";
  if (pipe.highest_generation != known.pipe.highest_generation) return "another generation";
  if (pipe.reset_reason != known.pipe.reset_reason) return "another reason of its reset";
  if (is.application_reset != known.application_reset) return "another reset of its application";
  if (is.server_knows != known.server_knows) return "another belief about the server";
  if (is.confirmed != known.confirmed) return "another confirmation";
  if (is.links != known.links) return "another number of links";
  if (session.grace() != recovered.grace) return "another time for a restart";
  std::vector<std::byte> bytes(pipe.writer.end_offset - pipe.writer.begin_offset);
  if (!session.pipe().writer().ring().copy(pipe.writer.begin_offset, bytes)) {
    return "the ring lacks bytes";
  }
  auto at = bytes.begin();
  for (const ConstBytes piece : recovered.held.outbound) {
    if (!std::equal(piece.begin(), piece.end(), at)) return "other bytes are held";
    at += static_cast<std::ptrdiff_t>(piece.size());
  }
  return std::nullopt;
}

}  // namespace backedpipe::test
