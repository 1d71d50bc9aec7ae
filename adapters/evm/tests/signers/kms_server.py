"""moto's server with one thing put right: moto (5.2) hashes what it is told to be a digest once more (MessageType DIGEST)."""

import sys

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from moto.kms.utils import ECDSAPrivateKey
from moto.server import main


def sign(self, message, signing_algorithm):
    if signing_algorithm != "ECDSA_SHA_256":
        raise ValueError("only what the relayer asks for: " + signing_algorithm)
    # Refuses anything but 32 bytes.
    return self.private_key.sign(message, ec.ECDSA(utils.Prehashed(hashes.SHA256())))


ECDSAPrivateKey.sign = sign
main(sys.argv[1:])
