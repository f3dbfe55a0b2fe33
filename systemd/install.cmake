# SPDX-License-Identifier: BSD-2-Clause
# Where systemd looks for units and users follows the prefix: /usr when packaged, /etc otherwise (systemd reads
# neither /usr/local/lib/sysusers.d on every version nor a unit of ours from any other prefix).
