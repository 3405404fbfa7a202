// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <tuple>

#include "scsi/sense.hh"

namespace sidecore::scsi {

class Nexus;

/// What a logical unit remembers of EXTENDED COPY commands for RECEIVE COPY RESULTS (SPC-4 6.18): those under way and the last that have ended.
///
/// Thread: any.
class CopyResults {
public:
    struct Result {
        bool under_way = true;
        std::uint16_t segments = 0;  ///< that are done
        std::uint64_t bytes = 0;
        std::optional<SenseData> failure{};
    };

    /// One command's part in it, until the command ends: what has said nothing of its end by then has failed.
    class Entry {
    public:
        Entry(CopyResults& results, std::uint64_t number) : results_(results), number_(number) {}
        ~Entry() { results_.end(number_, std::nullopt, true); }
        Entry(const Entry&) = delete;
        Entry& operator=(const Entry&) = delete;

        void progress(std::uint16_t segments, std::uint64_t bytes) { results_.progress(number_, segments, bytes); }
        void ended(std::optional<SenseData> failure) { results_.end(number_, std::move(failure), false); }

    private:
        CopyResults& results_;
        const std::uint64_t number_;
    };

    /// Null: the nexus has a command under way with this LIST IDENTIFIER, or there are too many.
    std::shared_ptr<Entry> begin(const Nexus& nexus, std::uint8_t list);

    std::optional<Result> find(const Nexus& nexus, std::uint8_t list) const;
    void forget(const Nexus& nexus, std::uint8_t list);

private:
    using Owner = std::tuple<std::string, std::uint8_t, std::uint16_t, std::uint8_t>;
    struct Record {
        Owner owner;
        std::uint64_t number = 0;
        Result result{};
    };

    static Owner owner_of(const Nexus& nexus, std::uint8_t list);
    Record* find(std::uint64_t number) noexcept;
    void progress(std::uint64_t number, std::uint16_t segments, std::uint64_t bytes);
    void end(std::uint64_t number, std::optional<SenseData> failure, bool aborted);

    mutable std::mutex mutex_;  // guards what follows
    std::deque<Record> records_;
    std::uint64_t next_number_ = 0;
};

}  // namespace sidecore::scsi
