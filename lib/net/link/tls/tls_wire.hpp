// TlsWire: the ciphertext between OpenSSL and a link's socket. One recv() brings many records and
// one send() takes many, through buffers that all links of a thread share. A link holds memory of
// its own only for bytes that are left over: records that the socket did not take, and ciphertext
// received beyond what the caller had room for.
//
// Part of one TlsTransport. Between calls nothing refers to a thread's buffers, so the link may
// move to another thread.
#pragma once

#include <array>
#include <cstddef>
#include <span>
#include <vector>

#include <boost/system/error_code.hpp>
#include <openssl/ssl.h>

#include "net/socket/stream.hpp"

namespace backedpipe {

class TlsWire {
 public:
  // How often one Receiving may read from the socket: until it is empty, or once.
  enum class Reads { any, one };

  TlsWire();

  // `ssl` uses this wire from now on, and must be freed before it.
  void attach(SSL* ssl);

  // Surrounds calls into OpenSSL that read. They may read `room_bytes` from the socket, or about
  // one record if that is more.
  class Receiving {
   public:
    Receiving(TlsWire& wire, int socket, Reads reads, std::size_t room_bytes);
    ~Receiving();
    Receiving(const Receiving&) = delete;
    Receiving& operator=(const Receiving&) = delete;

   private:
    TlsWire& wire_;
  };
  // The socket gave less than asked since Receiving began: it is empty.
  bool drained() const { return drained_; }
  void allow_another_read() { may_read_ = true; }

  // From here until send(), records are gathered. Precondition: nothing is stuck.
  void gather(int socket);
  // OpenSSL has completed one record with this much plaintext.
  void end_record(std::size_t plain_bytes);
  bool full() const;
  // Sends what is stuck or was gathered. The result counts the plaintext of the records that have
  // left completely; the peer cannot read any part of the others.
  IoResult send(int socket);
  bool stuck() const { return !stuck_.empty(); }

 private:
  struct Record {
    std::size_t plain_bytes;
    std::size_t end;  // after its last byte
  };
  struct Shared;

  static Shared& shared();
  static BIO_METHOD* method();
  static int on_read(BIO* bio, char* into, int size);
  static int on_write(BIO* bio, const char* bytes, int size);
  static long on_control(BIO* bio, int command, long number, void* pointer);

  bool fill();
  void keep(ConstBytes rest, std::span<const Record> records, std::size_t gone_bytes);

  int socket_ = -1;  // during a call

  std::span<const std::byte> input_;  // during a call: received, not yet read by OpenSSL
  std::vector<std::byte> kept_;       // the same between calls
  std::size_t room_bytes_ = 0;
  Reads reads_ = Reads::any;
  bool may_read_ = false;
  bool drained_ = false;
  bool ended_ = false;

  bool gathering_ = false;
  std::size_t batch_bytes_;
  std::vector<std::byte> stuck_;
  std::vector<Record> stuck_records_;
  boost::system::error_code broken_;  // the error of a failed send()
};

}  // namespace backedpipe
