"""The user's network settings (proxies, certificates, pip's index) and what is fetched and asked with them."""
