// The terminal as a screen and a keyboard, by ncurses. There is one at a time, on one thread; its
// end leaves the terminal as it was.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "config/checked.hpp"
#include "daemon/ctl/watch/layout.hpp"

struct screen;  // ncurses' SCREEN

namespace backedpipe::ctl {

// Why standard input and output cannot be used as a screen; nothing if they can.
std::optional<std::string> why_no_screen();

class Terminal {
 public:
  struct Key {
    enum class Kind { letter, move, quit, other };
    Kind kind = Kind::other;
    char letter = 0;                               // of a letter
    WatchModel::Move move = WatchModel::Move::up;  // of a move
  };

  // Colours are used where the terminal has them, unless $NO_COLOR is set (no-color.org). Throws
  // std::runtime_error, though not after why_no_screen() had no objection.
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  ScreenSize size() const;
  // After SIGWINCH: takes the new size.
  void adapt();
  void draw(const std::vector<Line>& picture);
  // Nothing when no key is waiting. Does not block.
  std::optional<Key> read_key();
  // Nobody is at the other end any more.
  bool hung_up() const;

 private:
  struct screen* screen_;
  bool utf8_;
  bool colour_ = false;
};

}  // namespace backedpipe::ctl
