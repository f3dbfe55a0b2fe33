/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MESSAGE_ID= of the events that an operator may want to find or to be told of: `journalctl MESSAGE_ID=...`. Each has
 * an entry in systemd/coapd.catalog, which `journalctl -x` shows. Never change one: people build alarms on them.
 */
#ifndef COAPD_BASE_MESSAGE_IDS_H
#define COAPD_BASE_MESSAGE_IDS_H

#define MESSAGE_STARTED "8749a98594cd40709a7e05ad978bd76e"
#define MESSAGE_STOPPED "c7c6d8770d8e4366a36b8c14576d8d21"
#define MESSAGE_RELOADED "ea41df053ddb44e79431204d11cd0dc6"
#define MESSAGE_NOT_RELOADED "c0b88afbb1a34641a2c29329e2350c7f"
#define MESSAGE_CONFIG_ERROR "cbb3b5a6bbd94992bbf283e755d47516"
#define MESSAGE_OPEN_DOOR "4c5963a35c6e40f6bf346b26abe4ffed"
#define MESSAGE_ADDRESS_NOT_TAKEN "2cdb8781634d460fa6295665bcd9cf8d"
#define MESSAGE_STORE_BAD "303db2d99a314677a5ae180b701e3e9a"
#define MESSAGE_STORE_FAILS "97193021c44340cba2e766ff9fcf3f09"
#define MESSAGE_STORE_WORKS "fd11b6d553774affb1329d2b82ca0114"
#define MESSAGE_ROW_DAMAGED "bea9ff417c4642fabce83e9182186c52"
#define MESSAGE_DATAGRAMS_DROPPED "15102aa750e843c8a1bd86e8472f2735"
#define MESSAGE_CERTIFICATE_ENDS "038970411fd54e058e62fc0c3b72762a"
#define MESSAGE_DENIED "d3df94b7f3024540b8591d835053c572"
#define MESSAGE_CERTIFICATE_REFUSED "8e2c44118a6345cdbc61f77ea07eb201"
#define MESSAGE_IDENTITY_UNKNOWN "bae523e8191643a0ad17d6f41c8096d4"

#endif
