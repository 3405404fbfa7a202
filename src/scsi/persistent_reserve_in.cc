// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <exception>
#include <optional>

#include "base/big_endian.hh"
#include "scsi/logical_unit.hh"
#include "scsi/operation.hh"
#include "scsi/persistent_reserve.hh"

namespace sidecore::scsi {

namespace {

/// A reply as it is written, every field in its place.
class ParameterData {
public:
    explicit ParameterData(std::span<std::byte> bytes) : bytes_(bytes) { std::ranges::fill(bytes, std::byte{0}); }

    void put(std::size_t at, std::size_t bytes, std::uint64_t value) {
        store_big_endian(bytes_.subspan(at, bytes), value);
    }
    void put(std::size_t at, const TransportId& id) { std::ranges::copy(id, bytes_.subspan(at).begin()); }

private:
    std::span<std::byte> bytes_;
};

constexpr std::size_t header_bytes = 8;  // PRGENERATION, ADDITIONAL LENGTH
constexpr std::size_t status_bytes = 24 + sizeof(TransportId);

/// Makes a reply of `count(view)` descriptors of `each_bytes` behind a header; `write(data, view, index, at)` writes one.
template <typename Count, typename Write>
Progress report(Operation& operation, std::size_t each_bytes, Count count, Write write) noexcept {
    try {
        const auto view = operation.unit().reservations().view();
        if (!view) {
            return operation.end(Status::reservation_conflict);
        }
        const std::size_t descriptors = count(*view);
        const auto buffer = operation.buffer(header_bytes + descriptors * each_bytes);
        if (buffer.empty()) {
            return operation.end(Status::task_set_full);
        }
        ParameterData data(buffer);
        data.put(0, 4, view->generation);
        data.put(4, 4, descriptors * each_bytes);
        for (std::size_t i = 0; i < descriptors; ++i) {
            write(data, *view, i, header_bytes + i * each_bytes);
        }
        return operation.reply(buffer, operation.field(7, 2));
    } catch (const std::exception&) {
        return operation.end(Status::busy);  // there is no memory
    }
}

}  // namespace

/// SPC-4 6.15.2
Progress read_keys(Operation& operation) noexcept {
    return report(
        operation, 8, [](const Reservations::View& view) { return view.state.registrations.size(); },
        [](ParameterData& data, const Reservations::View& view, std::size_t index, std::size_t at) {
            data.put(at, 8, view.state.registrations[index].key);
        });
}

/// SPC-4 6.15.3: one descriptor at most, with key 0 if all registrants are holders.
Progress read_reservation(Operation& operation) noexcept {
    return report(
        operation, 16,
        [](const Reservations::View& view) {
            return view.state.type == ReservationType::none ? std::size_t{0} : std::size_t{1};
        },
        [](ParameterData& data, const Reservations::View& view, std::size_t, std::size_t at) {
            const ReservationState& state = view.state;
            const Registration* holder = for_all_registrants(state.type) ? nullptr : state.find(state.holder);
            data.put(at, 8, holder == nullptr ? 0 : holder->key);
            data.put(at + 13, 1, static_cast<std::uint8_t>(state.type));
        });
}

/// SPC-4 6.15.4
Progress report_capabilities(Operation& operation) noexcept {
    std::array<std::byte, 8> data{};
    const Reservations& reservations = operation.unit().reservations();
    const auto kept = reservations.kept();
    if (!kept) {
        return operation.end(Status::reservation_conflict);
    }
    data[1] = std::byte{8};                                                               // LENGTH
    data[2] = std::byte{reservations.keeps() ? std::uint8_t{0x1d} : std::uint8_t{0x1c}};  // CRH, SIP_C, ATP_C, PTPL_C
    data[3] = std::byte{*kept ? std::uint8_t{0x81} : std::uint8_t{0x80}};                 // TMV, PTPL_A
    data[4] = std::byte{0xea};  // WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX
    data[5] = std::byte{0x01};  // EX_AC_AR
    return operation.reply(data, operation.field(7, 2));
}

/// SPC-4 6.15.5. Every registration has a descriptor of its own, those that ALL_TG_PT has made, too.
Progress read_full_status(Operation& operation) noexcept {
    return report(
        operation, status_bytes, [](const Reservations::View& view) { return view.state.registrations.size(); },
        [](ParameterData& data, const Reservations::View& view, std::size_t index, std::size_t at) {
            const Registration& each = view.state.registrations[index];
            const bool holder = view.state.is_holder(each.who);
            data.put(at, 8, each.key);
            data.put(at + 12, 1, holder ? 1 : 0);  // R_HOLDER
            data.put(at + 13, 1, holder ? static_cast<std::uint8_t>(view.state.type) : 0);
            data.put(at + 18, 2, each.who.port);
            data.put(at + 20, 4, sizeof(TransportId));
            data.put(at + 24, each.who.initiator);
        });
}

}  // namespace sidecore::scsi
