package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sort"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/containerd/ttrpc/details"
	"github.com/containerd/ttrpc/example/inventory"
)

// stock is the inventory. It implements the generated interface of the service.
type stock struct {
	out *transcript

	mu     sync.Mutex
	counts map[string]int64
}

func newStock(out *transcript) *stock {
	return &stock{out: out, counts: map[string]int64{"bolt": 40, "nut": 38, "washer": 100}}
}

var _ inventory.InventoryService = (*stock)(nil)

// GetItem returns an item, or an error whose details name similar items.
func (s *stock) GetItem(_ context.Context, req *inventory.GetItemRequest) (*inventory.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, ok := s.counts[req.Name]
	if !ok {
		return nil, s.missingLocked(req.Name)
	}
	return &inventory.Item{Name: req.Name, Count: count}, nil
}

// TakeItem takes pieces of an item and returns the rest.
func (s *stock) TakeItem(_ context.Context, req *inventory.TakeItemRequest) (*inventory.Item, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count, ok := s.counts[req.Name]
	switch {
	case !ok:
		return nil, s.missingLocked(req.Name)
	case req.Count < 1:
		return nil, status.Errorf(codes.InvalidArgument, "cannot take %d", req.Count)
	case req.Count > count:
		return nil, details.Error(codes.FailedPrecondition, fmt.Sprintf("too few of %q", req.Name),
			&inventory.Shortage{Name: req.Name, Wanted: req.Count, Available: count})
	}
	s.counts[req.Name] = count - req.Count
	return &inventory.Item{Name: req.Name, Count: count - req.Count}, nil
}

func (s *stock) missingLocked(name string) error {
	missing := &inventory.ItemMissing{Name: name}
	if name != "" {
		missing.Similar = s.namesLocked(name[:1])
	}
	return details.Error(codes.NotFound, fmt.Sprintf("no item %q", name), missing)
}

// ListItems is a stream from the server: it sends each item, and its return ends the stream.
func (s *stock) ListItems(_ context.Context, req *inventory.ListItemsRequest, stream inventory.Inventory_ListItemsServer) error {
	for _, item := range s.items(req.Prefix) {
		if err := stream.Send(item); err != nil {
			return err
		}
	}
	return nil
}

// AddItems is a stream from the client: it receives items until io.EOF and returns one
// response.
func (s *stock) AddItems(_ context.Context, stream inventory.Inventory_AddItemsServer) (*inventory.AddItemsResponse, error) {
	sum := &inventory.AddItemsResponse{}
	for {
		item, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return sum, nil
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.counts[item.Name] += item.Count
		s.mu.Unlock()
		sum.Items++
		sum.Count += item.Count
	}
}

// CountItems is a stream in both directions: it sends a response for each request.
func (s *stock) CountItems(ctx context.Context, stream inventory.Inventory_CountItemsServer) error {
	for {
		req, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			if ctx.Err() != nil {
				s.out.server("CountItems ends: %v", err)
			}
			return err
		}
		s.mu.Lock()
		count := s.counts[req.Name]
		s.mu.Unlock()
		if err := stream.Send(&inventory.CountItemsResponse{Name: req.Name, Count: count}); err != nil {
			return err
		}
	}
}

// Restock waits for a delivery. It gives up when its context ends, for example at the
// client's deadline.
func (s *stock) Restock(ctx context.Context, req *inventory.RestockRequest) (*inventory.RestockResponse, error) {
	delivery := time.NewTimer(req.Delivery.AsDuration())
	defer delivery.Stop()
	select {
	case <-delivery.C:
		return &inventory.RestockResponse{}, nil
	case <-ctx.Done():
		s.out.server("Restock gives up: %v", ctx.Err())
		return nil, ctx.Err()
	}
}

// items returns the items whose names have the prefix, sorted by name.
func (s *stock) items(prefix string) []*inventory.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	var items []*inventory.Item
	for _, name := range s.namesLocked(prefix) {
		items = append(items, &inventory.Item{Name: name, Count: s.counts[name]})
	}
	return items
}

func (s *stock) namesLocked(prefix string) []string {
	var names []string
	for name := range s.counts {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	}
	sort.Strings(names)
	return names
}
