"""The private key of the double's app."""

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa


class Key:
    """An RSA key made for this test."""

    def __init__(self) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def pem(self) -> str:
        form = serialization.PrivateFormat.TraditionalOpenSSL
        none = serialization.NoEncryption()
        return self._key.private_bytes(serialization.Encoding.PEM, form, none).decode()

    def signed(self, text: str, app_id: int) -> bool:
        """Say whether this is a JSON web token of the app, signed with this key and still good."""
        try:
            told = jwt.decode(text, self._key.public_key(), algorithms=["RS256"])
        except jwt.InvalidTokenError:
            return False
        return str(told.get("iss")) == str(app_id)
