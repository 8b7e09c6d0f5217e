"""Whom an address belongs to."""

from __future__ import annotations

import ipaddress

__all__ = ["find_client"]


def find_client(host: str | None) -> str:
    """Whom an address belongs to: of IPv6, where one client has as many addresses as it likes, the network is taken."""
    try:
        address = ipaddress.ip_address((host or "").partition("%")[0])
    except ValueError:
        return host or ""
    if address.version == 4:
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
