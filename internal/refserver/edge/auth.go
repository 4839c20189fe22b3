package edge

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Role is who a token says its bearer is.
type Role string

// The roles there are.
const (
	RoleAnon          Role = "anon"          // anyone who has the app
	RoleAuthenticated Role = "authenticated" // a user who has signed in
	RoleService       Role = "service_role"  // the operator: may reach Options.Admin
)

// Codes of 401, as the platform documents them.
const (
	CodeNoAuthHeader         = "UNAUTHORIZED_NO_AUTH_HEADER"
	CodeInvalidJWTFormat     = "UNAUTHORIZED_INVALID_JWT_FORMAT"          // not "Bearer " and a JWT
	CodeLegacyJWT            = "UNAUTHORIZED_LEGACY_JWT"                  // HS256, but not valid: signature, time, or role
	CodeAsymmetricJWT        = "UNAUTHORIZED_ASYMMETRIC_JWT"              // RS256 or ES256, which no key here verifies
	CodeUnsupportedAlgorithm = "UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM" // any other
)

// Auth verifies tokens: JWTs signed with HS256, in "Authorization: Bearer". Their
// claims exp and nbf are heeded where present; role must be one of the roles.
//
// A key in the header apikey is not looked at. The platform's clients send both;
// its gateway, with verification on, wants the JWT in Authorization.
type Auth struct {
	Secret    []byte
	VerifyJWT bool // functions want a valid token of any role; OPTIONS passes without
}

// guardsFunctions reports whether functions want a token.
func (a *Auth) guardsFunctions() bool { return a != nil && a.VerifyJWT }

// denial is why a request is not let in.
type denial struct{ code, message string }

// verify returns the role that an Authorization header proves, or why it proves none.
func (a *Auth) verify(header string) (Role, *denial) {
	if header == "" {
		return "", &denial{CodeNoAuthHeader, "missing authorization header"}
	}
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", &denial{CodeInvalidJWTFormat, "invalid JWT"}
	}
	var claims struct {
		jwt.RegisteredClaims
		Role Role `json:"role"`
	}
	var algorithm string
	_, err := jwt.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		if algorithm = t.Method.Alg(); algorithm != jwt.SigningMethodHS256.Alg() {
			return nil, jwt.ErrTokenUnverifiable
		}
		if _, critical := t.Header["crit"]; critical { // RFC 7515, section 4.1.11: no extension is known here
			return nil, jwt.ErrTokenUnverifiable
		}
		if len(a.Secret) == 0 {
			return nil, jwt.ErrInvalidKey
		}
		return a.Secret, nil
	})
	switch {
	case err == nil && (claims.Role == RoleAnon || claims.Role == RoleAuthenticated || claims.Role == RoleService):
		return claims.Role, nil
	case algorithm == jwt.SigningMethodRS256.Alg() || algorithm == jwt.SigningMethodES256.Alg():
		return "", &denial{CodeAsymmetricJWT, "invalid JWT"}
	case algorithm == jwt.SigningMethodHS256.Alg():
		return "", &denial{CodeLegacyJWT, "invalid JWT"}
	case algorithm != "" || errors.Is(err, jwt.ErrTokenUnverifiable):
		return "", &denial{CodeUnsupportedAlgorithm, "unsupported JWT algorithm"}
	default:
		return "", &denial{CodeInvalidJWTFormat, "invalid JWT"}
	}
}

// serviceOnly lets the service role alone through to next.
func serviceOnly(a *Auth, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a == nil || len(a.Secret) == 0 {
			WriteError(w, http.StatusForbidden, "", "the server has no JWT secret, so that nobody can prove to be service_role")
			return
		}
		role, refusal := a.verify(r.Header.Get("Authorization"))
		switch {
		case refusal != nil:
			WriteError(w, http.StatusUnauthorized, refusal.code, refusal.message)
		case role != RoleService:
			WriteError(w, http.StatusForbidden, "", "this is for service_role alone")
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// MintKey returns a token for the role that is valid from now until expiry, as the
// platform's anon and service_role keys are.
func MintKey(secret []byte, role Role, expiry time.Time) (string, error) {
	if len(secret) == 0 {
		return "", errors.New("mint a key: the secret is empty")
	}
	if role != RoleAnon && role != RoleAuthenticated && role != RoleService {
		return "", fmt.Errorf("mint a key: role %q: want anon, authenticated or service_role", role)
	}
	key, err := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "edgeload", "role": role, "iat": time.Now().Unix(), "exp": expiry.Unix(),
	}).SignedString(secret)
	if err != nil {
		return "", fmt.Errorf("mint a key: %w", err)
	}
	return key, nil
}
