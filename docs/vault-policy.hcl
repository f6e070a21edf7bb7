# What the operator may do in Vault, for the samples in manifests/samples: the mount `jwt`, roles `backstage-*`, the
# policies `backstage-*` and `backend-service`, and KV version 2 entries below `terraform-state-plugin/`.
#
# The life of a binding (create, put right what was spoilt by hand, delete) uses every capability here and no other; a
# test compares the two. `grants` of the VaultConnection bound what bindings may ask for: keep both in step. Renewing and
# revoking its own token is allowed to the operator by Vault's policy `default`.
#
# Who may write policies and roles may give themselves anything that those policies may open: protect the operator's
# ServiceAccount as you protect Vault's own administrators.

# Which auth methods are mounted where.
path "sys/auth" {
  capabilities = ["read"]
}

# auth.enable: enable the jwt method where nothing is mounted. Leave it out where the mount exists already.
path "sys/auth/jwt" {
  capabilities = ["update", "sudo"]
}

# auth.config of the mount.
path "auth/jwt/config" {
  capabilities = ["read", "update"]
}

# roles.
path "auth/jwt/role/backstage-*" {
  capabilities = ["create", "read", "update", "delete"]
}

# policies.
path "sys/policies/acl/backstage-*" {
  capabilities = ["read", "update", "delete"]
}
path "sys/policies/acl/backend-service" {
  capabilities = ["read", "update", "delete"]
}

# kv: the values. `patch` changes single keys (ownership: Keys).
path "backstage/backend/data/terraform-state-plugin/*" {
  capabilities = ["read", "update", "patch"]
}

# kv: versions and the ownership markers in the custom metadata. `delete` removes a secret with all its versions.
path "backstage/backend/metadata/terraform-state-plugin/*" {
  capabilities = ["create", "read", "patch", "delete"]
}

# On a KV version 1 mount there is one path in place of the last two:
# path "<mount>/terraform-state-plugin/*" {
#   capabilities = ["create", "read", "update", "delete"]
# }
